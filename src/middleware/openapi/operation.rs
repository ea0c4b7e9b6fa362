//! What one operation says of its security.

use std::collections::BTreeSet;

use http::StatusCode;
use serde_json::{Map, Value, json};

use super::components;
use crate::access::requirement::Alternative;
use crate::access::scope::Scope;

/// The two forms of a security requirement.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// OpenAPI 3.0, in which only `OAuth` has scopes.
    WithoutScopes,
    /// OpenAPI 3.1.
    WithScopes,
}

/// What a route asks for: nothing, or one of several sets of scopes. The set may be empty.
pub(super) type Asked = Option<Vec<Alternative>>;

/// The names of the security schemes.
pub(super) struct Schemes {
    /// Those of keys.
    pub(super) of_keys: Vec<String>,
    /// Further security requirements, of which one is enough as well.
    pub(super) otherwise: Vec<Value>,
}

fn scopes(set: &Alternative) -> Vec<&str> {
    set.iter().map(Scope::as_str).collect()
}

/// The `security` of an operation.
pub(super) fn security(asked: &Asked, schemes: &Schemes, form: Form) -> Value {
    let Some(alternatives) = asked else {
        return json!([]);
    };
    let object = |scheme: &String, scopes: Vec<&str>| json!({scheme.as_str(): scopes});
    let each = schemes.of_keys.iter().flat_map(|scheme| match form {
        Form::WithoutScopes => vec![object(scheme, Vec::new())],
        Form::WithScopes => {
            let sets = alternatives.iter();
            sets.map(|set| object(scheme, scopes(set))).collect()
        }
    });
    each.chain(schemes.otherwise.iter().cloned()).collect()
}

/// Writes into an operation what it asks for. `Err` says why the document is not that of the table.
pub(super) fn write(
    operation: &mut Map<String, Value>,
    asked: &Asked,
    schemes: &Schemes,
    known: &BTreeSet<&str>,
    refusals: &[StatusCode],
    form: Form,
) -> Result<(), String> {
    let security = security(asked, schemes, form);
    if let Some(written) = operation.get("security") {
        let named = written.as_array().into_iter().flatten();
        let named = named.filter_map(Value::as_object).flat_map(Map::values);
        let mut named = named
            .filter_map(Value::as_array)
            .flatten()
            .filter_map(Value::as_str);
        if let Some(scope) = named.find(|scope| !known.contains(scope)) {
            return Err(format!("no route of the table requires the scope {scope}"));
        }
        if !is_same(written, &security) {
            return Err(format!(
                "its security is not that of the table, which is {security}"
            ));
        }
    }
    operation.insert("security".to_owned(), security);
    let alternatives = asked.as_deref().unwrap_or_default();
    let sets: Vec<Vec<&str>> = alternatives.iter().map(scopes).collect();
    if let Some(written) = operation.get("x-required-scopes") {
        let required = json!(sets);
        if !is_same(written, &required) {
            return Err(format!(
                "its x-required-scopes is not that of the table, which is {required}"
            ));
        }
    }
    if form == Form::WithoutScopes && alternatives.iter().any(|set| !set.is_empty()) {
        let texts: Vec<String> = sets.iter().map(|set| set.join(" and ")).collect();
        let required = format!("Required scopes: {}.", texts.join(", or "));
        operation.insert("x-required-scopes".to_owned(), json!(sets));
        let description = match operation.get("description").and_then(Value::as_str) {
            Some(written) if written.ends_with(&required) => written.to_owned(),
            Some(written) => format!("{written}\n\n{required}"),
            None => required,
        };
        operation.insert("description".to_owned(), description.into());
    }
    let responses = operation.entry("responses").or_insert_with(|| json!({}));
    let Some(responses) = responses.as_object_mut() else {
        return Err("its responses are no object".to_owned());
    };
    for status in refusals {
        let reference = format!("#/components/responses/{}", components::name(*status));
        let response = responses.entry(status.as_str());
        response.or_insert_with(|| json!({"$ref": reference}));
    }
    Ok(())
}

/// Whether two lists of security requirements are equal except for their order.
fn is_same(one: &Value, other: &Value) -> bool {
    let sorted = |list: &Value| {
        let objects = list.as_array().into_iter().flatten();
        let mut texts: Vec<String> = objects.map(ToString::to_string).collect();
        texts.sort_unstable();
        texts
    };
    one.is_array() && sorted(one) == sorted(other)
}
