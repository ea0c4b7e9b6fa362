//! The security of a layer, and the documents that it is written into.

use std::collections::{BTreeMap, BTreeSet};

use http::Method;
use serde_json::{Map, Value, json};

use super::components::{self, PROBLEM, Refusals};
use super::operation::{self, Asked, Form, Schemes};
use crate::access::requirement::{Alternative, Requirement};
use crate::access::scope::Scope;
use crate::error::{Error, ErrorKind};
use crate::middleware::auth::ApiKeyLayer;
use crate::middleware::guard::routes::methods::METHODS;
use crate::middleware::guard::routes::{Access, RouteTable};

/// The most sets of scopes of which an operation asks for one.
const MOST_ALTERNATIVES: usize = 16;

/// What a layer and its table of routes enforce, for OpenAPI documents. The [module](crate::openapi) has an example,
/// and says what is written.
#[derive(Debug, Clone)]
pub struct Security {
    table: RouteTable,
    /// One for each route of the table.
    asked: Vec<Asked>,
    schemes: Vec<(String, Value)>,
    refusals: Refusals,
    has_responder: bool,
    hands_on: bool,
    /// What else authenticates, if the layer hands its refusals on.
    others: Vec<(String, Value)>,
}

impl Security {
    /// Reads a layer.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidDocument`] if the layer has no [table](ApiKeyLayer::routes), or if a requirement has more than 16
    /// sets of scopes of which one is enough.
    pub fn of(layer: &ApiKeyLayer) -> Result<Self, Error> {
        let layer = layer.documented();
        let Some(table) = layer.routes else {
            return Err(invalid("the layer has no table of routes"));
        };
        let routes = table.routes().iter();
        let asked = routes.map(|route| {
            asked(route.access(), &layer.required).ok_or_else(|| {
                let sets = "it asks for one of more than 16 sets of scopes";
                invalid(&format!("{route}: {sets}"))
            })
        });
        Ok(Self {
            table: table.clone(),
            asked: asked.collect::<Result<_, _>>()?,
            schemes: components::schemes(&layer),
            refusals: Refusals::new(layer.profile),
            has_responder: layer.has_responder,
            hands_on: layer.hands_on,
            others: Vec::new(),
        })
    }

    /// Names what else authenticates a client, for a layer that
    /// [allows missing and failed keys](ApiKeyLayer::allow_missing_or_failed): a security scheme as OpenAPI has it, in JSON.
    /// Each operation that needs a key then has it as another choice. If nothing is named, such a layer's operations have the
    /// choice `{}`, which is to need nothing, because the layer alone refuses no client.
    ///
    /// ```
    /// use tower_api_key::openapi::Security;
    /// use tower_api_key::{ApiKeyLayer, KeyRing, RouteTable, store::MemoryStore};
    ///
    /// let table = RouteTable::builder().get("/orders", "orders:read").build()?;
    /// let ring = KeyRing::builder("acme").build(MemoryStore::new())?;
    /// let layer = ApiKeyLayer::new(ring).routes(table).allow_missing_or_failed();
    ///
    /// let cookie = r#"{"type": "apiKey", "in": "cookie", "name": "session"}"#;
    /// let document = Security::of(&layer)?.or_scheme("session", cookie)?.document("Orders", "1")?;
    /// assert!(document.contains(r#""security":[{"x-api-key":["orders:read"]},{"session":[]}]"#));
    /// # Ok::<(), tower_api_key::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidDocument`] if the layer answers with its refusals, or if the text is no object in JSON with a `type`.
    pub fn or_scheme(mut self, name: &str, scheme: &str) -> Result<Self, Error> {
        if !self.hands_on {
            return Err(invalid(&format!(
                "{name}: the layer accepts keys alone, unless it allows missing and failed ones"
            )));
        }
        let scheme: Value = serde_json::from_str(scheme)
            .map_err(|error| Error::with_source(ErrorKind::InvalidDocument, error))?;
        if !scheme["type"].is_string() {
            return Err(invalid(&format!("{name}: a security scheme has a type")));
        }
        self.others.push((name.to_owned(), scheme));
        Ok(self)
    }

    /// Writes the security into a document, which is OpenAPI 3.0 or 3.1 in JSON. Applied again, it changes nothing.
    ///
    /// A path of the document is a pattern of the table, with `{path}` for `{*path}`. The table may name routes that the
    /// document does not describe.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidDocument`], with the place, if the text is no such document, or
    ///
    /// - an operation is no route of the table,
    /// - an operation has a `security`, or an `x-required-scopes`, that is not that of the table, for example with an
    ///   unknown scope,
    /// - there is a `security` for all operations, or a path is only a reference,
    /// - a component has the name of one of the layer, and is another.
    pub fn apply(&self, document: &str) -> Result<String, Error> {
        let mut document: Value = serde_json::from_str(document)
            .map_err(|error| Error::with_source(ErrorKind::InvalidDocument, error))?;
        self.write(&mut document)
            .map_err(|problem| invalid(&problem))?;
        Ok(document.to_string())
    }

    /// A document, in OpenAPI 3.1, of the routes of the table alone.
    ///
    /// # Errors
    ///
    /// As [`apply`](Self::apply).
    pub fn document(&self, title: &str, version: &str) -> Result<String, Error> {
        let mut paths = Map::new();
        for route in self.table.routes() {
            let path = paths.entry(template(route.pattern()));
            let path = path.or_insert_with(|| json!({"parameters": parameters(route.pattern())}));
            for method in METHODS {
                let name = method.as_str().to_ascii_lowercase();
                let is_meant = route.method().is_none_or(|of_route| *of_route == method);
                if is_meant && path.get(&name).is_none() {
                    path[name] = json!({"responses": {"2XX": {"description": "Success."}}});
                }
            }
        }
        let info = json!({"title": title, "version": version});
        let document = json!({"openapi": "3.1.0", "info": info, "paths": paths});
        self.apply(&document.to_string())
    }

    fn write(&self, document: &mut Value) -> Result<(), String> {
        let form = match document["openapi"].as_str() {
            Some(version) if version.starts_with("3.0.") => Form::WithoutScopes,
            Some(version) if version.starts_with("3.1.") => Form::WithScopes,
            _ => return Err("openapi: the version is neither 3.0 nor 3.1".to_owned()),
        };
        if document.get("security").is_some() {
            return Err("security: each operation has its own, so remove it".to_owned());
        }
        let schemes = Schemes {
            of_keys: self.schemes.iter().map(|(name, _)| name.clone()).collect(),
            otherwise: match &self.others[..] {
                [] if self.hands_on => vec![json!({})],
                others => others.iter().map(|(name, _)| json!({name: []})).collect(),
            },
        };
        let sets = self.asked.iter().flatten().flatten();
        let known: BTreeSet<&str> = sets.flatten().map(Scope::as_str).collect();
        let routes = self.table.routes().iter();
        let patterns = routes.map(|route| (template(route.pattern()), route.pattern()));
        let patterns: BTreeMap<String, &str> = patterns.collect();

        let Some(paths) = document.get_mut("paths").and_then(Value::as_object_mut) else {
            return Err("paths: there are none".to_owned());
        };
        for (path, item) in paths {
            let item = item
                .as_object_mut()
                .ok_or(format!("{path}: it is no object"))?;
            if item.contains_key("$ref") {
                return Err(format!("{path}: a reference hides its operations"));
            }
            for method in METHODS {
                let Some(operation) = item.get_mut(&method.as_str().to_ascii_lowercase()) else {
                    continue;
                };
                let written = self
                    .asked_of(&method, patterns.get(path).copied())
                    .and_then(|asked| {
                        let operation = operation.as_object_mut();
                        let operation = operation.ok_or_else(|| "it is no object".to_owned())?;
                        let refusals = match asked {
                            None => &self.refusals.public,
                            Some(_) => &self.refusals.all,
                        };
                        operation::write(operation, asked, &schemes, &known, refusals, form)
                    });
                written.map_err(|problem| format!("{method} {path}: {problem}"))?;
            }
        }
        self.write_components(document)
    }

    fn asked_of(&self, method: &Method, pattern: Option<&str>) -> Result<&Asked, String> {
        let place = pattern.and_then(|pattern| self.table.place_of(method, pattern));
        let asked = place.and_then(|place| self.asked.get(place));
        asked.ok_or_else(|| "the table does not name this route".to_owned())
    }

    fn write_components(&self, document: &mut Value) -> Result<(), String> {
        let schemes = self.schemes.iter().chain(&self.others);
        let schemes =
            schemes.map(|(name, scheme)| ("securitySchemes", name.clone(), scheme.clone()));
        let responses = self.refusals.all.iter().map(|status| {
            let (name, response) = components::response(*status, self.has_responder);
            ("responses", name, response)
        });
        let problem =
            (!self.has_responder).then(|| ("schemas", PROBLEM.to_owned(), components::problem()));
        for (kind, name, component) in schemes.chain(responses).chain(problem) {
            let components = object_at(document, "components", "components")?;
            let these = components.entry(kind).or_insert_with(|| json!({}));
            let Some(these) = these.as_object_mut() else {
                return Err(format!("components/{kind}: it is no object"));
            };
            if these
                .get(&name)
                .is_some_and(|written| *written != component)
            {
                return Err(format!("components/{kind}/{name}: another has this name"));
            }
            these.insert(name, component);
        }
        Ok(())
    }
}

fn object_at<'a>(
    value: &'a mut Value,
    key: &str,
    place: &str,
) -> Result<&'a mut Map<String, Value>, String> {
    let object = value.as_object_mut().ok_or("the document is no object")?;
    let entry = object.entry(key).or_insert_with(|| json!({}));
    entry
        .as_object_mut()
        .ok_or_else(|| format!("{place}: it is no object"))
}

/// What a route asks for, whichever ring knows the key. `None` if there are too many alternatives.
fn asked(access: &Access, required: &[Option<&Requirement>]) -> Option<Asked> {
    // A layer that requires scopes has no public routes.
    if *access == Access::Public && required.iter().all(Option::is_none) {
        return Some(None);
    }
    let of_route = match access {
        Access::Scopes(requirement) => Some(requirement),
        Access::Public | Access::AnyKey => None,
    };
    let mut of_rings: Vec<Requirement> = Vec::new();
    for of_ring in required.iter().copied() {
        let both = match (of_ring, of_route) {
            // The keys of this ring need no scope.
            (None, None) => return Some(Some(vec![Alternative::new()])),
            (Some(one), None) | (None, Some(one)) => one.clone(),
            (Some(of_ring), Some(of_route)) => of_ring.clone().and(of_route.clone()),
        };
        of_rings.push(both);
    }
    let any = Requirement::any(of_rings).ok()?;
    any.alternatives(MOST_ALTERNATIVES).map(Some)
}

/// A pattern as OpenAPI has it.
fn template(pattern: &str) -> String {
    pattern.replace("{*", "{")
}

fn parameters(pattern: &str) -> Vec<Value> {
    let names = pattern
        .split('{')
        .skip(1)
        .filter_map(|rest| rest.split('}').next());
    let parameters = names.map(|name| {
        let name = name.trim_start_matches('*');
        json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}})
    });
    parameters.collect()
}

fn invalid(problem: &str) -> Error {
    Error::with_limit(ErrorKind::InvalidDocument, problem)
}
