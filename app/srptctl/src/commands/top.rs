//! `top`: the live view; the code stands in `top/`.

use super::Own;

pub(crate) const TOP: Own = Own { build: |c| c, run: |_, _| Ok(()), methods: &[] };
