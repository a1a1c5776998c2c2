//! Methods described in OpenRPC's form (spec.open-rpc.org, 1.3): what other programs and reference docs are made from.

use serde_json::{Value, json};

use crate::methods::Description;

/// The document that describes these methods.
pub fn openrpc(title: &str, version: &str, methods: &[Description]) -> Value {
    let methods: Vec<Value> = methods.iter().map(method).collect();
    json!({"openrpc": "1.3.2", "info": {"title": title, "version": version}, "methods": methods})
}

fn method(method: &Description) -> Value {
    let required = |name: &str| {
        let names = method.params["required"].as_array();
        names.is_some_and(|names| names.iter().any(|required| required == name))
    };
    let properties = method.params["properties"].as_object();
    let mut params: Vec<Value> =
        properties.into_iter().flatten().map(|(name, schema)| param(name, schema, required(name))).collect();
    params.sort_by_key(|param| param["required"] == false);
    let result = json!({"name": "result", "schema": without_title(&method.result)});
    json!({"name": method.name, "summary": method.summary, "paramStructure": "by-name", "params": params, "result": result})
}

/// A content descriptor: the description stands beside the schema.
fn param(name: &str, schema: &Value, required: bool) -> Value {
    let mut schema = schema.clone();
    let description = schema.as_object_mut().and_then(|schema| schema.remove("description"));
    let mut param = json!({"name": name, "required": required, "schema": schema});
    if let Some(description) = description {
        param["description"] = description;
    }
    param
}

fn without_title(schema: &Value) -> Value {
    let mut schema = schema.clone();
    if let Some(schema) = schema.as_object_mut() {
        schema.remove("title");
        schema.remove("description");
    }
    schema
}

#[cfg(test)]
mod tests {
    use schemars::JsonSchema;
    use serde::Deserialize;

    use super::*;
    use crate::Methods;

    #[derive(Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only its schema is of interest")]
    struct Create {
        #[serde(default)]
        read_only: bool,
        /// What it is called.
        name: String,
    }

    #[test]
    fn parameters_stand_with_their_descriptions_and_the_required_ones_first() {
        let mut methods = Methods::<()>::new();
        methods.add("create", "Makes one", |(), _: Create| Ok(true));
        let document = openrpc("a target", "1.2.3", &methods.describe());
        assert_eq!(document["info"], json!({"title": "a target", "version": "1.2.3"}));
        let method = &document["methods"][0];
        assert_eq!((&method["name"], &method["summary"]), (&json!("create"), &json!("Makes one")));
        let name = json!({"name": "name", "required": true, "schema": {"type": "string"}, "description": "What it is called."});
        let read_only =
            json!({"name": "read_only", "required": false, "schema": {"type": "boolean", "default": false}});
        assert_eq!(method["params"], json!([name, read_only]));
        assert_eq!(method["result"], json!({"name": "result", "schema": {"type": "boolean"}}));
    }
}
