use super::Own;
pub(crate) const SCST: Own = Own { build: |c| c, run: |_, _| Ok(()), methods: &[] };
pub(crate) const TARGETCLI: Own = Own { build: |c| c, run: |_, _| Ok(()), methods: &[] };
