//! From arguments to a ring and a grant.

use tower_api_key::store::MemoryStore;
use tower_api_key::{
    Actor, CaveatKind, Caveats, Clock, Grant, KeyRing, KeyRingBuilder, Pepper, RevocationReason,
    ScopeSet, SystemClock, Timestamp,
};

use crate::arguments::{Common, Reason};
use crate::durations::{duration, moment};
use crate::failure::Failure;
use crate::grant::{Details, entries};
use crate::output::Output;
use crate::snapshot::Reading;
use crate::store_url::StoreUrl;

impl Common {
    pub(crate) fn store_url(&self) -> Result<StoreUrl, Failure> {
        let text = self.store.as_deref().ok_or_else(|| {
            Failure::usage("no store; name one with --store or in TOWER_API_KEY_STORE")
        })?;
        text.parse()
    }

    /// A ring that mints and verifies, or that is built to see its arguments refused.
    pub(crate) fn builder(&self) -> Result<KeyRingBuilder, Failure> {
        let prefix = self.prefix.as_deref().ok_or_else(|| {
            Failure::usage("no prefix; name it with --prefix or in TOWER_API_KEY_PREFIX")
        })?;
        self.with_prefix(prefix)
    }

    /// A ring that only manages records, for which the realm is enough.
    pub(crate) fn managing(&self) -> Result<KeyRingBuilder, Failure> {
        match (&self.prefix, &self.realm) {
            (Some(prefix), _) => self.with_prefix(prefix),
            (None, Some(_)) => self.with_prefix("key"),
            (None, None) => Err(Failure::usage(
                "no realm; name it with --realm, or the prefix with --prefix if they are the same",
            )),
        }
    }

    fn with_prefix(&self, prefix: &str) -> Result<KeyRingBuilder, Failure> {
        // The ring of the service says which it grants. One that nothing checks refuses the key.
        let mut builder = KeyRing::builder(prefix).grantable_caveats(CaveatKind::ALL);
        if let Some(realm) = &self.realm {
            builder = builder.realm(realm);
        }
        if let Some(text) = &self.pepper {
            builder = builder.pepper(pepper(text)?);
        }
        for text in &self.earlier_pepper {
            builder = builder.earlier_pepper(pepper(text)?);
        }
        Ok(builder)
    }

    /// Opens the store, once the arguments are known to be right.
    pub(crate) async fn open(&self, builder: KeyRingBuilder) -> Result<KeyRing, Failure> {
        let store = self.store_url()?.open().await?;
        self.acting(builder.build(store)?)
    }

    /// The ring, whose changes are those of the one who runs the program.
    pub(crate) fn acting(&self, ring: KeyRing) -> Result<KeyRing, Failure> {
        Ok(match self.actor()? {
            Some(actor) => ring.acting_as(actor)?,
            None => ring,
        })
    }

    /// Who runs the program: the one who is named, or else the user of the system. The history says so, and
    /// proves nothing, because any user can give another name.
    pub(crate) fn actor(&self) -> Result<Option<Actor>, Failure> {
        if let Some(named) = &self.actor {
            return Ok(Some(Actor::new(named)?));
        }
        let users = ["SUDO_USER", "USER", "LOGNAME", "USERNAME"].into_iter();
        let mut users = users.filter_map(|variable| std::env::var(variable).ok());
        let named = users.find_map(|user| Actor::new(&user).ok());
        Ok(named.or_else(numbered_user))
    }

    /// Opens a store that is only read, which may be write-protected.
    pub(crate) async fn open_to_read(&self) -> Result<Reading, Failure> {
        self.store_url()?.open_to_read().await
    }
}

impl Details {
    /// Refuses an end that no key can have.
    fn refuse_past(&self, end: Timestamp) -> Result<(), Failure> {
        let now = SystemClock.now();
        if end <= now {
            return Err(Failure::usage(format!(
                "--expires-at {} is in the past: it is {} now",
                end.to_rfc3339(),
                now.to_rfc3339()
            )));
        }
        match self.not_before.as_deref().map(moment).transpose()? {
            Some(begin) if end <= begin => Err(Failure::usage(format!(
                "--expires-at {} is no later than --not-before {}",
                end.to_rfc3339(),
                begin.to_rfc3339()
            ))),
            _ => Ok(()),
        }
    }

    /// Warns of what is right and hardly meant.
    pub(crate) fn warn(&self, output: Output) {
        output.warn_of_commas("--scope", &self.scopes);
    }

    /// Whether an end is named, be it none at all.
    pub(crate) fn names_end(&self) -> bool {
        self.expires_in.is_some() || self.expires_at.is_some() || self.never_expires
    }

    pub(crate) fn grant(&self, subject: &str) -> Result<Grant, Failure> {
        let mut grant = Grant::new(subject)
            .scopes(ScopeSet::new(&self.scopes)?)
            .caveats(Caveats::new(&self.caveats)?);
        if let Some(text) = &self.expires_in {
            grant = grant.expires_in(duration(text)?);
        }
        if let Some(text) = &self.expires_at {
            let end = moment(text)?;
            self.refuse_past(end)?;
            grant = grant.expires_at(end);
        }
        if self.never_expires {
            grant = grant.never_expires();
        }
        if let Some(text) = &self.not_before {
            grant = grant.not_before(moment(text)?);
        }
        if let Some(label) = &self.label {
            grant = grant.label(label);
        }
        Ok(grant.metadata(entries(&self.metadata)?))
    }
}

/// Asks a ring over nothing whether the arguments are right, before a store is opened.
pub(crate) fn dry(builder: KeyRingBuilder) -> Result<KeyRing, Failure> {
    Ok(builder.build(MemoryStore::new())?)
}

fn pepper(text: &str) -> Result<Pepper, Failure> {
    // What is no such text may be the pepper itself, so it is not repeated.
    let wrong = || Failure::usage("invalid pepper; write VERSION=env:NAME or VERSION=file:PATH");
    let (version, source) = text.split_once('=').ok_or_else(wrong)?;
    let version = version.parse().map_err(|_| wrong())?;
    let mut secret = match source.split_once(':').ok_or_else(wrong)? {
        ("env", name) => std::env::var_os(name)
            .ok_or_else(|| Failure::usage(format!("no pepper: the variable {name} is not set")))?
            .into_encoded_bytes(),
        ("file", path) => std::fs::read(path)
            .map_err(|error| Failure::usage(format!("no pepper: cannot read {path}: {error}")))?,
        _ => return Err(wrong()),
    };
    if secret.last() == Some(&b'\n') {
        secret.pop();
    }
    Ok(Pepper::new(version, secret)?)
}

impl From<Reason> for RevocationReason {
    fn from(reason: Reason) -> Self {
        match reason {
            Reason::Unspecified => Self::Unspecified,
            Reason::KeyCompromise => Self::KeyCompromise,
            Reason::AffiliationChanged => Self::AffiliationChanged,
            Reason::Superseded => Self::Superseded,
            Reason::CessationOfOperation => Self::CessationOfOperation,
            Reason::PrivilegeWithdrawn => Self::PrivilegeWithdrawn,
        }
    }
}

/// The user by number: jobs and containers often have no variable that names one.
#[cfg(target_os = "linux")]
fn numbered_user() -> Option<Actor> {
    let number = rustix::process::getuid().as_raw();
    Actor::new(&format!("uid {number}")).ok()
}

#[cfg(not(target_os = "linux"))]
fn numbered_user() -> Option<Actor> {
    None
}
