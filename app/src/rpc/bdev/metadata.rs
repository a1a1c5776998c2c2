//! SPDK's parameters of metadata and protection information, where they make sense: 8 bytes behind each block's data.

use bdev::{Metadata, ProtectionType};
use rpc::RpcError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::rpc::refuse;

/// What a method that makes a bdev takes of them. What was given is what is saved.
#[derive(Clone, Copy, Deserialize, Serialize, Default, JsonSchema)]
pub(super) struct MetadataParams {
    /// Bytes of metadata behind each block: 0 or 8.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) md_size: Option<u32>,
    /// True: metadata stand behind the data of their block, which is the one way there is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) md_interleave: Option<bool>,
    /// Type of protection information (T10): 0, 1 or 3.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) dif_type: Option<u32>,
    /// Where in the metadata protection information stands, which fills them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) dif_is_head_of_md: Option<bool>,
    /// 0: a guard of 16 bits, the one format there is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) dif_pi_format: Option<u32>,
}

impl MetadataParams {
    /// What they ask for. Protection information fills the metadata, so it is at its head as well as at its end.
    pub(super) fn parse(&self) -> Result<Option<Metadata>, RpcError> {
        refuse("dif_pi_format", self.dif_pi_format.is_some_and(|format| format != 0))?;
        let invalid = |text: &str| Err(RpcError::invalid_params(text));
        let bytes = self.md_size.unwrap_or(0);
        if bytes == 0 {
            return match self.dif_type {
                None | Some(0) if self.dif_is_head_of_md != Some(true) && self.md_interleave != Some(true) => Ok(None),
                None | Some(0) => invalid("md_size: there is no metadata for the other parameters: give md_size 8"),
                Some(_) => invalid("dif_type: protection information needs metadata: give md_size 8"),
            };
        }
        if bytes != Metadata::PROTECTION_BYTES {
            return invalid(&format!("md_size: {bytes} is neither 0 nor 8, the length of protection information"));
        }
        // SPDK takes its absence for metadata apart from the data.
        if self.md_interleave != Some(true) {
            return invalid("md_interleave: metadata apart from the data is not supported: set it to true");
        }
        let number = self.dif_type.unwrap_or(0);
        match ProtectionType::of_number(number) {
            Some(protection) => Ok(Some(Metadata { bytes, protection })),
            None => invalid(&format!(
                "dif_type: {number} is none of 0, 1 and 3: type 2 needs commands that SRP initiators have not"
            )),
        }
    }

    /// As a saved configuration has them.
    pub(super) fn save(&self, recipe: &mut Value) {
        let own = serde_json::to_value(self).unwrap_or_default();
        if let (Some(recipe), Value::Object(own)) = (recipe.as_object_mut(), own) {
            recipe.extend(own);
        }
    }
}

/// What bdev_get_bdevs says of metadata, as SPDK: nothing where there is none.
pub(super) fn describe(metadata: Option<Metadata>, description: &mut Value) {
    let Some(Metadata { bytes, protection }) = metadata else { return };
    description["md_size"] = bytes.into();
    description["md_interleave"] = true.into();
    description["dif_type"] = protection.number().into();
    description["dif_is_head_of_md"] = true.into();
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(value: Value) -> Result<Option<Metadata>, String> {
        let params: MetadataParams = serde_json::from_value(value).expect("known parameters");
        params.parse().map_err(|error| error.to_string())
    }

    #[test]
    fn what_spdk_takes_and_we_have_is_taken() {
        for none in [json!({}), json!({"md_size": 0, "dif_type": 0, "md_interleave": false, "dif_pi_format": 0})] {
            assert_eq!(parse(none), Ok(None));
        }
        for (number, protection) in [(0, ProtectionType::None), (1, ProtectionType::Type1), (3, ProtectionType::Type3)]
        {
            let given = json!({"md_size": 8, "md_interleave": true, "dif_type": number, "dif_is_head_of_md": true});
            assert_eq!(parse(given), Ok(Some(Metadata::of(protection))));
        }
    }

    #[test]
    fn everything_else_is_refused_by_name() {
        for (given, parameter) in [
            (json!({"md_size": 16, "md_interleave": true}), "md_size"),
            (json!({"md_size": 8}), "md_interleave"),
            (json!({"md_size": 8, "md_interleave": false}), "md_interleave"),
            (json!({"md_interleave": true}), "md_size"),
            (json!({"dif_is_head_of_md": true}), "md_size"),
            (json!({"dif_type": 1}), "dif_type"),
            (json!({"md_size": 8, "md_interleave": true, "dif_type": 2}), "dif_type"),
            (json!({"md_size": 8, "md_interleave": true, "dif_type": 4}), "dif_type"),
            (json!({"md_size": 8, "md_interleave": true, "dif_pi_format": 1}), "dif_pi_format"),
        ] {
            let error = parse(given.clone()).expect_err("refused");
            assert!(error.contains(&format!("{parameter}:")), "{given}: {error}");
        }
    }
}
