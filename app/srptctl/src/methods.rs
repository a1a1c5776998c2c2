//! The methods of the target, as they describe themselves: `docs/openrpc.json`, which `rpc.discover` answers, too.
//!
//! Options of verbs, their help and the checks of `config check` come from here, so that they cannot say anything else than the target does.

use std::sync::LazyLock;

use serde::Deserialize;
use serde_json::Value;

static DOCUMENT: LazyLock<Document> = LazyLock::new(|| {
    serde_json::from_str(include_str!("../../../docs/openrpc.json")).expect("it is written by the target's tests")
});

/// All methods, in order of their names.
pub(crate) fn all() -> &'static [Method] {
    &DOCUMENT.methods
}

/// The method of a name.
pub(crate) fn find(name: &str) -> Option<&'static Method> {
    all().iter().find(|method| method.name == name)
}

#[derive(Deserialize)]
struct Document {
    methods: Vec<Method>,
}

/// A method.
#[derive(Deserialize)]
pub(crate) struct Method {
    pub(crate) name: String,
    /// What it does, without a full stop.
    pub(crate) summary: String,
    pub(crate) params: Vec<Param>,
}

/// A parameter of a method.
#[derive(Deserialize)]
pub(crate) struct Param {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) required: bool,
    #[serde(default)]
    pub(crate) description: String,
    schema: Value,
}

/// What a parameter's value is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Boolean,
    Integer,
    Text,
    /// 64 bits: a string of hex digits, or a number.
    Hex,
    Integers,
    Texts,
    /// Strings by name.
    Map,
    /// Any JSON.
    Json,
}

impl Method {
    /// A method of which we know the names of some parameters.
    pub(crate) fn undescribed(name: &str, params: &[&str]) -> Method {
        let param = |name: &&str| Param {
            name: (*name).to_owned(),
            required: false,
            description: String::new(),
            schema: Value::Null,
        };
        let summary = format!("Calls {name}, if the target has it");
        Method { name: name.into(), summary, params: params.iter().map(param).collect() }
    }

    pub(crate) fn param(&self, name: &str) -> Option<&Param> {
        self.params.iter().find(|param| param.name == name)
    }
}

impl Param {
    pub(crate) fn kind(&self) -> Kind {
        let kinds = types(&self.schema);
        match kinds[..] {
            ["boolean"] => Kind::Boolean,
            ["integer"] => Kind::Integer,
            ["string", "integer"] => Kind::Hex,
            ["string"] => Kind::Text,
            ["object"] => Kind::Map,
            ["array"] if types(&self.schema["items"]) == ["integer"] => Kind::Integers,
            ["array"] if types(&self.schema["items"]) == ["string"] => Kind::Texts,
            [] if !self.values().is_empty() => Kind::Text,
            _ => Kind::Json,
        }
    }

    /// The values that it can have, if these are few.
    pub(crate) fn values(&self) -> Vec<&str> {
        fn constants(schema: &Value) -> Vec<&str> {
            let constant = schema["const"].as_str().into_iter();
            let listed = schema["enum"].as_array().into_iter().flatten().filter_map(Value::as_str);
            let alternatives = ["anyOf", "oneOf"].into_iter().filter_map(|word| schema[word].as_array()).flatten();
            constant.chain(listed).chain(alternatives.flat_map(constants)).collect()
        }
        constants(&self.schema)
    }

    /// What it is if it is left out, where that is said.
    pub(crate) fn default(&self) -> Option<&Value> {
        self.schema.get("default").filter(|default| !default.is_null())
    }

    /// Whether a value fits, as far as can be told without the target; what is wrong with it.
    pub(crate) fn check(&self, value: &Value) -> Result<(), String> {
        if value.is_null() && !self.required {
            return Ok(());
        }
        let values = self.values();
        let fits = match self.kind() {
            Kind::Boolean => value.is_boolean(),
            Kind::Integer => value.is_i64() || value.is_u64(),
            Kind::Text => value.is_string(),
            Kind::Hex => value.is_string() || value.is_u64(),
            Kind::Integers => value.as_array().is_some_and(|list| list.iter().all(|one| one.is_i64() || one.is_u64())),
            Kind::Texts => value.as_array().is_some_and(|list| list.iter().all(Value::is_string)),
            Kind::Map => value.as_object().is_some_and(|map| map.values().all(Value::is_string)),
            Kind::Json => true,
        };
        if !fits {
            return Err(format!("{}: {value} is not {}", self.name, self.kind().words()));
        }
        if let (false, Some(text)) = (values.is_empty(), value.as_str())
            && !values.contains(&text)
        {
            return Err(format!("{}: {text:?} is none of {}", self.name, values.join(", ")));
        }
        let number = value.as_i64().map(i128::from).or(value.as_u64().map(i128::from));
        let bound =
            |word: &str| self.schema[word].as_i64().map(i128::from).or(self.schema[word].as_u64().map(i128::from));
        match (number, bound("minimum"), bound("maximum")) {
            (Some(number), Some(least), _) if number < least => Err(format!("{}: at least {least}", self.name)),
            (Some(number), _, Some(most)) if number > most => Err(format!("{}: at most {most}", self.name)),
            _ => Ok(()),
        }
    }
}

impl Kind {
    /// Such a value, in words.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Kind::Boolean => "true or false",
            Kind::Integer => "a whole number",
            Kind::Text => "text",
            Kind::Hex => "hex digits",
            Kind::Integers => "a list of whole numbers",
            Kind::Texts => "a list of texts",
            Kind::Map => "an object of texts",
            Kind::Json => "JSON",
        }
    }
}

/// The types of a schema but null.
fn types(schema: &Value) -> Vec<&str> {
    let named = match &schema["type"] {
        Value::Array(names) => names.iter().filter_map(Value::as_str).collect(),
        name => name.as_str().into_iter().collect::<Vec<_>>(),
    };
    named.into_iter().filter(|name| *name != "null").collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn param(method: &str, name: &str) -> &'static Param {
        find(method).and_then(|method| method.param(name)).expect("it is described")
    }

    #[test]
    fn kinds_are_told_from_schemas() {
        for (method, name, kind) in [
            ("bdev_null_create", "num_blocks", Kind::Integer),
            ("bdev_null_create", "name", Kind::Text),
            ("bdev_uring_create", "thin_provisioned", Kind::Boolean),
            ("srp_create_target", "id_ext", Kind::Hex),
            ("srp_create_initiator_group", "initiators", Kind::Texts),
            ("srp_create_initiator_group", "luns", Kind::Integers),
            ("bdev_rbd_create", "config", Kind::Map),
            ("load_config", "subsystems", Kind::Json),
        ] {
            assert_eq!(param(method, name).kind(), kind, "{method} {name}");
        }
        assert_eq!(param("srp_create_target", "lun_addressing").values(), ["peripheral", "flat"]);
        assert_eq!(param("srp_create_listener", "fabric").default(), Some(&json!("verbs")));
    }

    #[test]
    fn values_are_checked() {
        let lun = param("srp_target_add_lun", "lun");
        assert_eq!(lun.check(&json!(3)), Ok(()));
        assert_eq!(lun.check(&json!(null)), Ok(()));
        assert_eq!(lun.check(&json!("3")), Err("lun: \"3\" is not a whole number".into()));
        assert_eq!(lun.check(&json!(-1)), Err("lun: at least 0".into()));
        assert_eq!(lun.check(&json!(65536)), Err("lun: at most 65535".into()));
        let state = param("srp_target_port_group_set_state", "state");
        assert_eq!(state.check(&json!("standby")), Ok(()));
        assert!(state.check(&json!("sleepy")).is_err_and(|error| error.contains("none of optimized, ")));
        assert!(param("srp_create_target", "name").check(&json!(null)).is_err());
    }
}
