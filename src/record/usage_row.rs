//! What a key was used for, as columns of an SQL table.

use super::key_usage::{KeyUsage, NetworkUse, ScopeUse, UsedNetwork};
use super::row::{column_time, moment};
use super::unfit::{unfit, unfit_because};
use crate::access::client_network::ClientNetwork;
use crate::error::store::StoreError;

/// What a key was used for, as a store in SQL keeps it, in both directions. Needs the feature `sql`.
///
/// A store reads a row, [adds](KeyUsage::add) what is new to it, and writes it again, in one transaction that locks it.
///
/// ```
/// use tower_api_key::store::{KeyUsage, ScopeUse, sql::UsageRow};
/// use tower_api_key::Timestamp;
///
/// let at = Timestamp::from_unix(1_800_000_000);
/// let usage = KeyUsage::new().scope_use(ScopeUse::new(at, at, "read write".parse()?));
/// let row = UsageRow::of(&usage)?;
/// assert_eq!(row.scopes.as_deref(), Some("read write"));
/// assert_eq!(row.usage()?, usage);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UsageRow {
    /// The exercised scopes, sorted, with single spaces between.
    pub scopes: Option<String>,
    /// The first use that was tracked for its scopes, in seconds since the epoch.
    pub scopes_first: Option<i64>,
    /// The last of them.
    pub scopes_last: Option<i64>,
    /// The networks, with commas between: each in CIDR notation, with its first and its last use in seconds since the
    /// epoch after spaces.
    pub networks: Option<String>,
    /// The first use for which a network was noted.
    pub networks_first: Option<i64>,
    /// How many networks were dropped.
    pub networks_further: Option<i64>,
}

impl UsageRow {
    /// The names of the columns, in the order of the fields.
    pub const NAMES: &'static str =
        "scopes, scopes_first, scopes_last, networks, networks_first, networks_further";

    /// The row of what is known.
    ///
    /// # Errors
    ///
    /// [`Unavailable`](crate::store::StoreErrorKind::Unavailable) for a time that no column holds.
    pub fn of(usage: &KeyUsage) -> Result<Self, StoreError> {
        let mut row = Self::default();
        if let Some(used) = usage.scopes() {
            row.scopes = Some(used.scopes().to_string());
            row.scopes_first = Some(column_time(used.first())?);
            row.scopes_last = Some(column_time(used.last())?);
        }
        if let Some(used) = usage.networks() {
            let each = used.networks().iter().map(|it| {
                let (first, last) = (column_time(it.first)?, column_time(it.last)?);
                Ok(format!("{} {first} {last}", it.network))
            });
            row.networks = Some(each.collect::<Result<Vec<_>, StoreError>>()?.join(","));
            row.networks_first = Some(column_time(used.first())?);
            row.networks_further = Some(i64::from(used.further()));
        }
        Ok(row)
    }

    /// Reads what is known.
    ///
    /// # Errors
    ///
    /// [`Corrupt`](crate::store::StoreErrorKind::Corrupt) if another program has changed the row.
    pub fn usage(&self) -> Result<KeyUsage, StoreError> {
        let mut usage = KeyUsage::new();
        match (&self.scopes, self.scopes_first, self.scopes_last) {
            (Some(scopes), Some(first), Some(last)) => {
                let scopes = scopes
                    .parse()
                    .map_err(|error| unfit_because("scopes", error))?;
                let (first, last) = (moment("scopes_first", first)?, moment("scopes_last", last)?);
                usage = usage.scope_use(ScopeUse::new(first, last, scopes));
            }
            (None, None, None) => {}
            _ => return Err(unfit("scopes")),
        }
        match (&self.networks, self.networks_first, self.networks_further) {
            (Some(networks), Some(first), Some(further)) => {
                let further = u32::try_from(further).map_err(|_| unfit("networks_further"))?;
                let first = moment("networks_first", first)?;
                let each = networks.split(',').filter(|it| !it.is_empty());
                let each: Vec<UsedNetwork> = each.map(network).collect::<Result<_, _>>()?;
                usage = usage.network_use(NetworkUse::new(first, each, further));
            }
            (None, None, None) => {}
            _ => return Err(unfit("networks")),
        }
        Ok(usage)
    }
}

fn network(text: &str) -> Result<UsedNetwork, StoreError> {
    let mut words = text.split(' ');
    let parts = (words.next(), words.next(), words.next(), words.next());
    let (Some(network), Some(first), Some(last), None) = parts else {
        return Err(unfit("networks"));
    };
    let time = |text: &str| {
        let seconds = text.parse().map_err(|_| unfit("networks"))?;
        moment("networks", seconds)
    };
    let network = ClientNetwork::parse(network).ok_or_else(|| unfit("networks"))?;
    Ok(UsedNetwork::new(network, time(first)?, time(last)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::store::StoreErrorKind;
    use crate::time::Timestamp;

    fn full() -> KeyUsage {
        let at = Timestamp::from_unix;
        let network = |text: &str| ClientNetwork::of(text.parse().unwrap());
        let networks = [
            UsedNetwork::new(network("203.0.113.9"), at(10), at(20)),
            UsedNetwork::new(network("2001:db8::1"), at(15), at(15)),
        ];
        KeyUsage::new()
            .scope_use(ScopeUse::new(at(1), at(2), "a b".parse().unwrap()))
            .network_use(NetworkUse::new(at(10), networks, 3))
    }

    #[test]
    fn a_row_is_read_as_it_was_written() {
        let row = UsageRow::of(&full()).unwrap();
        let networks = "203.0.113.0/24 10 20,2001:db8::/48 15 15";
        assert_eq!(row.networks.as_deref(), Some(networks));
        assert_eq!(row.usage().unwrap(), full());
        let nothing = UsageRow::of(&KeyUsage::new()).unwrap();
        assert_eq!(nothing, UsageRow::default());
        assert_eq!(nothing.usage().unwrap(), KeyUsage::new());
        let none_exercised = ScopeUse::new(
            Timestamp::from_unix(0),
            Timestamp::from_unix(0),
            crate::ScopeSet::empty(),
        );
        let none_exercised = KeyUsage::new().scope_use(none_exercised);
        let row = UsageRow::of(&none_exercised).unwrap();
        assert_eq!(row.usage().unwrap(), none_exercised);
    }

    #[test]
    fn a_row_that_another_hand_has_changed_is_damaged() {
        type Damage = fn(&mut UsageRow);
        let damages: [Damage; 10] = [
            |row| row.scopes = Some("b a \"".to_owned()),
            |row| row.scopes = None,
            |row| row.scopes_first = Some(-1),
            |row| row.scopes_last = None,
            |row| row.networks = None,
            |row| row.networks = Some("203.0.113.0/24 10".to_owned()),
            |row| row.networks = Some("203.0.113.0/24 10 20 30".to_owned()),
            |row| row.networks = Some("203.0.113.9/24 10 20".to_owned()),
            |row| row.networks = Some("203.0.113.0/24 ten 20".to_owned()),
            |row| row.networks_further = Some(-1),
        ];
        for damage in damages {
            let mut row = UsageRow::of(&full()).unwrap();
            damage(&mut row);
            let error = row.usage().unwrap_err();
            assert_eq!(error.kind(), StoreErrorKind::Corrupt, "{row:?}");
        }
    }
}
