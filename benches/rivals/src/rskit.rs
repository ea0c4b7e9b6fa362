//! A validator for rskit-auth's layer.
//!
//! Its own `Manager` compares a key with all of one prefix. This one finds the key by its digest instead, and
//! judges it by the crate's rules.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use async_trait::async_trait;
use chrono::Utc;
use rskit_auth::apikey::{Hasher, HashingConfig, Key, KeyValidator, validate};
use rskit_errors::AppError;

pub(crate) struct Validator {
    hasher: Hasher,
    keys: RwLock<HashMap<String, Key>>,
    required: String,
}

impl Validator {
    pub(crate) fn new(plaintexts: &[String], scopes: &[String]) -> Self {
        let pepper = HashingConfig::new("a pepper of at least thirty-two bytes");
        let hasher = Hasher::new(pepper).expect("a pepper that is long enough");
        let keys = RwLock::new(HashMap::new());
        for (index, plaintext) in plaintexts.iter().enumerate() {
            let key = Key {
                id: format!("{index:012}"),
                owner_id: format!("user-{index:07}"),
                name: "nightly".to_owned(),
                key_prefix: "acme_live".to_owned(),
                key_digest: hasher.digest(plaintext),
                scopes: scopes.to_vec(),
                is_active: true,
                expires_at: Some(Utc::now() + chrono::Duration::days(90)),
                grace_ends_at: None,
                rotated_by_id: None,
                last_used_at: None,
                created_at: Utc::now(),
            };
            let mut keys = keys.write().unwrap_or_else(PoisonError::into_inner);
            keys.insert(key.key_digest.clone(), key);
        }
        Self {
            hasher,
            keys,
            required: scopes.last().expect("a scope").clone(),
        }
    }
}

#[async_trait]
impl KeyValidator for Validator {
    async fn validate_key(&self, plain_key: &str) -> Result<Key, AppError> {
        let digest = self.hasher.digest(plain_key);
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        let key = keys.get(&digest).ok_or_else(AppError::invalid_token)?;
        validate(key).map_err(|_| AppError::invalid_token())?;
        if !key.scopes.contains(&self.required) {
            return Err(AppError::invalid_token());
        }
        Ok(key.clone())
    }
}
