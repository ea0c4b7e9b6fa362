//! From arguments to a ring and a grant.

use std::sync::Arc;

use tower_api_key::store::{KeyStore, MemoryStore};
use tower_api_key::{Grant, KeyId, KeyRing, Pepper, RevocationReason, RingBuilder, redact_keys};

use crate::arguments::{Common, Details, Policy, Reason};
use crate::durations::{duration, moment};
use crate::failure::Failure;
use crate::store_url::StoreUrl;

impl Common {
    pub(crate) fn store_url(&self) -> Result<StoreUrl, Failure> {
        let text = self.store.as_deref().ok_or_else(|| {
            Failure::usage("no store; name one with --store or in TOWER_API_KEY_STORE")
        })?;
        text.parse()
    }

    /// A ring that mints and verifies, or that is built to see its arguments refused.
    pub(crate) fn builder(&self) -> Result<RingBuilder, Failure> {
        let prefix = self.prefix.as_deref().ok_or_else(|| {
            Failure::usage("no prefix; name it with --prefix or in TOWER_API_KEY_PREFIX")
        })?;
        self.with_prefix(prefix)
    }

    /// A ring that only manages records, for which the realm is enough.
    pub(crate) fn managing(&self) -> Result<RingBuilder, Failure> {
        match (&self.prefix, &self.realm) {
            (Some(prefix), _) => self.with_prefix(prefix),
            (None, Some(_)) => self.with_prefix("key"),
            (None, None) => Err(Failure::usage(
                "no realm; name it with --realm, or the prefix with --prefix where they are the same",
            )),
        }
    }

    fn with_prefix(&self, prefix: &str) -> Result<RingBuilder, Failure> {
        let mut builder = KeyRing::builder(prefix);
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
    pub(crate) async fn open(&self, builder: RingBuilder) -> Result<KeyRing, Failure> {
        let store: Arc<dyn KeyStore> = self.store_url()?.open().await?;
        Ok(builder.build(store)?)
    }
}

impl Policy {
    pub(crate) fn apply(&self, builder: RingBuilder) -> Result<RingBuilder, Failure> {
        let mut builder = builder.longest_grace(duration(&self.longest_grace)?);
        builder = match self.longest_lifetime.as_str() {
            "unlimited" => builder.unlimited_lifetime(),
            text => builder.longest_lifetime(duration(text)?),
        };
        if !self.grantable_scopes.is_empty() {
            builder = builder.grantable_scopes(&self.grantable_scopes);
        }
        if let Some(limit) = self.keys_per_subject {
            builder = builder.keys_per_subject(limit);
        }
        Ok(builder)
    }
}

impl Details {
    pub(crate) fn grant(&self, subject: &str) -> Result<Grant, Failure> {
        let mut grant = Grant::new(subject).scopes(&self.scopes)?;
        if let Some(text) = &self.expires_in {
            grant = grant.expires_in(duration(text)?);
        }
        if let Some(text) = &self.expires_at {
            grant = grant.expires_at(moment(text)?);
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
        for entry in &self.metadata {
            let (name, value) = entry
                .split_once('=')
                .ok_or_else(|| Failure::usage("invalid metadata; write NAME=VALUE"))?;
            grant = grant.metadata(name, value);
        }
        Ok(grant)
    }
}

pub(crate) fn key_id(text: &str) -> Result<KeyId, Failure> {
    if redact_keys(text) != text {
        return Err(Failure::usage(
            "this is a key, not its id, and arguments are no place for one: others may have seen \
             it; the id is the 12 characters before its last _",
        ));
    }
    Ok(text.parse()?)
}

/// Asks a ring over nothing whether the arguments are right, before a store is opened.
pub(crate) fn dry(builder: RingBuilder) -> Result<KeyRing, Failure> {
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
