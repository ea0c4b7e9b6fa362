//! Lists of keys, a page at a time.

use std::sync::Arc;

use tower_api_key::store::{KeyStore, ListQuery, Unreadable};
use tower_api_key::{KeyId, KeyRecord, KeyRing, KeyState, Scope, Timestamp, redact_keys};

use crate::arguments::{Common, Filters, State};
use crate::describe;
use crate::durations::duration;
use crate::failure::{Exit, Failure};
use crate::lineage::warn_of_prefix;
use crate::output::{Output, colours, tell};
use crate::paste::key_id;
use crate::text::one_line;

/// How many keys the store is asked for at a time.
const PAGE: usize = 1_000;

pub(crate) async fn list(
    common: &Common,
    output: Output,
    filters: &Filters,
) -> Result<(), Failure> {
    let (builder, query) = (common.managing()?, filters.query()?);
    let reading = common.open_to_read().await?;
    let store = &reading.store;
    let ring = builder.build(Arc::clone(store))?;
    warn_of_prefix(common, &ring, output).await;
    let Listed {
        keys,
        unreadable,
        next,
    } = read(&ring, query).await?;

    let values = keys
        .iter()
        .map(|(record, used)| describe::json_of(record, *used));
    let text = if keys.is_empty() {
        String::new()
    } else {
        let keys = keys.iter().map(|(record, used)| (&**record, *used));
        describe::list(keys, colours(&std::io::stdout()))
    };
    output.either(&values.collect(), &text)?;
    if let Some(next) = next {
        tell(&format!("more keys: continue with --after {next}\n"));
    }
    if keys.is_empty() && unreadable.is_empty() {
        none(&ring, &**store, output).await?;
    }
    for record in &unreadable {
        output.warn(&Failure::from(record.error().clone()).message());
    }
    match unreadable.len() {
        0 => Ok(()),
        1 => Err(Failure::new(
            Exit::Store,
            "1 record cannot be read, and is not in the list",
        )),
        count => Err(Failure::new(
            Exit::Store,
            format!("{count} records cannot be read, and are not in the list"),
        )),
    }
}

/// What a list came to.
struct Listed {
    keys: Vec<(Arc<KeyRecord>, Option<Timestamp>)>,
    unreadable: Vec<Unreadable>,
    /// Where the next page begins.
    next: Option<String>,
}

async fn read(ring: &KeyRing, query: ListQuery) -> Result<Listed, Failure> {
    let mut listed = Listed {
        keys: Vec::new(),
        unreadable: Vec::new(),
        next: None,
    };
    let mut query = query;
    let mut missing = query.limit.unwrap_or(usize::MAX);
    loop {
        query = query.limit(missing.min(PAGE));
        let page = ring.list(&query).await?;
        let ids: Vec<KeyId> = page.iter().map(|record| record.id()).collect();
        let uses = ring.last_used_many(&ids).await?;
        missing = missing.saturating_sub(page.len() + page.unreadable().len());
        listed.unreadable.extend_from_slice(page.unreadable());
        let next = page.next();
        listed.keys.extend(page.into_iter().zip(uses));
        match next {
            Some(next) if missing > 0 => query = query.after(next),
            next => {
                listed.next = next.map(|next| next.to_string());
                return Ok(listed);
            }
        }
    }
}

/// Says that there are no keys, and which realms have some if this one has none.
async fn none(ring: &KeyRing, store: &dyn KeyStore, output: Output) -> Result<(), Failure> {
    let page = ring.list(&ListQuery::new().limit(1)).await?;
    if !page.is_empty() || !page.unreadable().is_empty() {
        if !output.json {
            tell("no keys\n");
        }
        return Ok(());
    }
    let realms = store.realms().await?;
    let names: Vec<String> = realms.iter().map(ToString::to_string).collect();
    let realm = ring.realm();
    let said = match names.as_slice() {
        [] => format!("no keys in the realm {realm}"),
        [only] => format!("no keys in the realm {realm}; the store has keys in the realm {only}"),
        _ => format!(
            "no keys in the realm {realm}; the store has keys in the realms {}",
            names.join(", ")
        ),
    };
    if output.json {
        output.note(&said);
    } else {
        tell(&format!("{}\n", one_line(&said)));
    }
    Ok(())
}

impl Filters {
    fn query(&self) -> Result<ListQuery, Failure> {
        let mut query = ListQuery::new();
        if let Some(subject) = &self.subject {
            query = query.subject(subject);
        }
        if let Some(lineage) = &self.lineage {
            query = query.lineage(key_id(lineage, None)?);
        }
        if self.unrevoked {
            query = query.unrevoked();
        }
        for state in &self.states {
            query = match state {
                State::Live => query.state(KeyState::Live),
                State::InGrace => query.in_grace(),
                State::NotYetValid => query.state(KeyState::NotYetValid),
                State::Expired => query.state(KeyState::Expired),
                State::Replaced => query.state(KeyState::Replaced),
                State::Revoked => query.state(KeyState::Revoked),
            };
        }
        if let Some(time) = &self.expiring_within {
            query = query.expiring_within(duration(time)?);
        }
        if let Some(time) = &self.unused_for {
            query = query.unused_for(duration(time)?);
        }
        if let Some(scope) = &self.scope {
            query = query.scope(Scope::new(scope)?);
        }
        if let Some(prefix) = &self.id_prefix {
            query = query.id_prefix(id_prefix(prefix)?);
        }
        if self.newest_first {
            query = query.newest_first();
        }
        if let Some(limit) = self.limit {
            query = query.limit(limit);
        }
        if let Some(after) = &self.after {
            query = query.after(after.parse()?);
        }
        Ok(query)
    }
}

fn id_prefix(text: &str) -> Result<&str, Failure> {
    if redact_keys(text) != text {
        // It says that this is no place for a key.
        return key_id(text, None).map(|_| text);
    }
    let fits = (1..=12).contains(&text.len()) && text.bytes().all(|it| it.is_ascii_alphanumeric());
    if fits {
        Ok(text)
    } else {
        Err(Failure::usage(
            "invalid id prefix: use 1 to 12 of 0-9, A-Z and a-z, without the prefix of the key",
        ))
    }
}
