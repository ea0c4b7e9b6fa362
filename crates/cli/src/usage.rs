//! What a key was used for, for people and for programs.

use serde_json::{Value, json};
use tower_api_key::store::{KeyUsage, NetworkUse};

/// `None` if nothing is known.
pub(crate) fn json_of(usage: &KeyUsage) -> Option<Value> {
    if *usage == KeyUsage::new() {
        return None;
    }
    let scopes = usage.scopes().map(|used| {
        json!({
            "exercised": used.scopes(),
            "first": used.first().to_rfc3339(),
            "last": used.last().to_rfc3339(),
        })
    });
    let networks = usage.networks().map(|used| {
        let each = used.networks().iter().map(|it| {
            json!({
                "network": it.network.to_string(),
                "first": it.first.to_rfc3339(),
                "last": it.last.to_rfc3339(),
            })
        });
        json!({ "known": each.collect::<Vec<_>>(), "dropped": used.further() })
    });
    Some(json!({ "scopes": scopes, "networks": networks }))
}

/// The name and the text of each line.
pub(crate) fn lines(usage: &KeyUsage) -> Vec<(&'static str, String)> {
    let mut lines = Vec::new();
    if let Some(used) = usage.scopes() {
        let scopes = match used.scopes() {
            none if none.is_empty() => "none",
            scopes => scopes.as_str(),
        };
        let since = used.first().to_rfc3339();
        lines.push(("exercised", format!("{scopes} (tracked since {since})")));
    }
    for used in usage
        .networks()
        .map(NetworkUse::networks)
        .unwrap_or_default()
    {
        let (first, last) = (used.first.to_rfc3339(), used.last.to_rfc3339());
        lines.push(("network", format!("{}, {first} to {last}", used.network)));
    }
    let dropped = usage.networks().map_or(0, NetworkUse::further);
    if dropped > 0 {
        lines.push(("networks", format!("{dropped} more were dropped")));
    }
    lines
}
