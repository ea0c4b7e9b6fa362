//! `copy`: the records of one store in another.

mod report;
mod step;
mod target;

use tower_api_key::store::{
    KeyStore, KeyUsage, ListQuery, MOST_REALMS, NetworkUse, StoreError, StoreErrorKind, Unreadable,
};
use tower_api_key::{Clock, KeyId, KeyState, Realm, Revocation, RevocationReason, SystemClock};

use self::report::Report;
use self::target::Target;
use crate::arguments::Common;
use crate::failure::Failure;
use crate::output::Output;
use crate::store_url::StoreUrl;

/// How many records are read at a time, and written in one commit.
const AT_A_TIME: usize = 200;

pub(crate) async fn copy(common: &Common, output: Output, target: &str) -> Result<(), Failure> {
    let named: Option<Realm> = common.realm.as_deref().map(Realm::new).transpose()?;
    let from = common.store_url()?;
    let to: StoreUrl = target.parse()?;
    to.require_writable()?;
    if common.store.as_deref() == Some(target) {
        return Err(Failure::usage(
            "the source and the target are the same store; name another target",
        ));
    }
    let reading = common.open_to_read().await?;
    let copying = Copying {
        source: &*reading.store,
        is_file: matches!(from, StoreUrl::File(_)),
        target: Target::new(to.open().await?, common.actor()?),
    };
    let realms = copying.realms(named, output).await?;
    let mut report = Report::new(output);
    let copied = copying.run(&realms, &mut report).await;
    report.end(copied)
}

struct Copying<'a> {
    source: &'a dyn KeyStore,
    /// The source is a keys file, which holds no time of issue.
    is_file: bool,
    target: Target,
}

impl Copying<'_> {
    /// The realm that is named, or all.
    async fn realms(&self, named: Option<Realm>, output: Output) -> Result<Vec<Realm>, Failure> {
        let realms = self.source.realms().await?;
        let Some(named) = named else {
            if realms.len() >= MOST_REALMS {
                return Err(Failure::usage(format!(
                    "the store has {MOST_REALMS} realms or more, and does not list the others; \
                     copy each realm with --realm"
                )));
            }
            return Ok(realms);
        };
        let others: Vec<&str> = realms
            .iter()
            .filter(|realm| **realm != named)
            .map(Realm::as_str)
            .collect();
        if !others.is_empty() {
            output.note(&format!(
                "only the realm {named} is copied, because --realm or TOWER_API_KEY_REALM names it; the \
                 store also has keys in: {}",
                others.join(", ")
            ));
        }
        Ok(vec![named])
    }

    async fn run(&self, realms: &[Realm], report: &mut Report) -> Result<(), Failure> {
        for realm in realms {
            let mut query = ListQuery::new().limit(AT_A_TIME);
            loop {
                let page = self.source.list(realm, &query).await?;
                for unreadable in page.unreadable() {
                    self.unreadable(realm, unreadable, report).await?;
                }
                let next = page.next();
                let settled = self
                    .target
                    .settle(realm, page.records(), self.is_file, report)
                    .await?;
                self.last_uses(realm, &settled).await?;
                self.usages(realm, &settled).await?;
                report.progress(realm);
                match next {
                    Some(next) => query = query.after(next),
                    None => break,
                }
            }
        }
        Ok(())
    }

    /// A record that cannot be read is not copied. If it is revoked all the same, the target learns that.
    async fn unreadable(
        &self,
        realm: &Realm,
        unreadable: &Unreadable,
        report: &mut Report,
    ) -> Result<(), Failure> {
        report.unreadable(unreadable);
        let Some(id) = unreadable.id() else {
            return Ok(());
        };
        let revoked = ListQuery::new()
            .id_prefix(id.as_str())
            .state(KeyState::Revoked);
        let revoked = self.source.list(realm, &revoked).await?;
        if revoked.unreadable().iter().any(|it| it.id() == Some(id)) {
            let revocation = Revocation::new(SystemClock.now(), RevocationReason::Unspecified);
            self.target.revoke(realm, id, revocation).await?;
        }
        Ok(())
    }

    /// Moves the last uses in the target forward to those of the source.
    async fn last_uses(&self, realm: &Realm, ids: &[KeyId]) -> Result<(), Failure> {
        let here = self.source.last_uses(realm, ids).await?;
        let there = self.target.store().last_uses(realm, ids).await?;
        let later: Vec<_> = ids
            .iter()
            .zip(here.into_iter().zip(there))
            .filter(|(_, (here, there))| here > there)
            .filter_map(|(&id, (here, _))| Some((id, here?)))
            .collect();
        if later.is_empty() {
            return Ok(());
        }
        Ok(self.target.store().record_uses(realm, &later).await?)
    }

    /// Adds what the source knows of the uses of keys, if both stores keep that.
    async fn usages(&self, realm: &Realm, ids: &[KeyId]) -> Result<(), Failure> {
        let target = self.target.store();
        let Some(here) = kept(self.source.usages(realm, ids).await)? else {
            return Ok(());
        };
        let Some(there) = kept(target.usages(realm, ids).await)? else {
            return Ok(());
        };
        let news = ids.iter().zip(here.into_iter().zip(there));
        let news = news.filter_map(|(&id, (here, there))| Some((id, news_of(here, &there)?)));
        let news: Vec<_> = news.collect();
        if news.is_empty() {
            return Ok(());
        }
        Ok(target.record_usage(realm, &news).await?)
    }
}

/// The answer of a store, if it keeps what it was asked for.
fn kept<T>(answer: Result<T, StoreError>) -> Result<Option<T>, Failure> {
    match answer {
        Err(error) if error.kind() == StoreErrorKind::Unsupported => Ok(None),
        answer => Ok(Some(answer?)),
    }
}

/// What the target gets of a key. The number of dropped networks is sent once, so that another run adds none.
fn news_of(mut here: KeyUsage, there: &KeyUsage) -> Option<KeyUsage> {
    if let (Some(used), Some(_)) = (here.networks(), there.networks()) {
        let networks = NetworkUse::new(used.first(), used.networks().iter().copied(), 0);
        here = here.network_use(networks);
    }
    let mut after = there.clone();
    after.add(&here);
    let seen = |usage: &KeyUsage| {
        let networks = usage.networks();
        let networks = networks.map(|used| (used.first(), used.networks().to_vec()));
        (usage.scopes().cloned(), networks)
    };
    (seen(&after) != seen(there)).then_some(here)
}
