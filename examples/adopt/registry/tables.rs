//! The tables of a registry, which it had before and keeps: tokens by the SHA-256 of their text, and users with
//! flags. In memory, in the place of a database.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use sha2::{Digest, Sha256};

#[derive(Clone, Default)]
pub struct Tables(Arc<Mutex<Rows>>);

#[derive(Default)]
struct Rows {
    tokens: Vec<Token>,
    users: Vec<User>,
    is_down: bool,
}

#[derive(Debug, Clone)]
pub struct Token {
    pub id: u64,
    pub hash: [u8; 32],
    pub user_id: u64,
    pub scopes: &'static str,
    pub is_revoked: bool,
}

#[derive(Debug, Clone)]
pub struct User {
    pub id: u64,
    pub name: &'static str,
    pub is_admin: bool,
    pub is_locked: bool,
}

#[derive(Debug)]
pub struct Down;

impl fmt::Display for Down {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the database is down")
    }
}

impl std::error::Error for Down {}

impl Tables {
    /// `SELECT … FROM tokens WHERE hash = $1 AND NOT revoked`.
    pub async fn token(&self, hash: &[u8; 32]) -> Result<Option<Token>, Down> {
        tokio::task::yield_now().await;
        self.read(|rows| {
            let mut tokens = rows.tokens.iter();
            tokens
                .find(|token| token.hash == *hash && !token.is_revoked)
                .cloned()
        })
    }

    /// `SELECT … FROM users WHERE id = $1`.
    pub async fn user(&self, id: u64) -> Result<Option<User>, Down> {
        tokio::task::yield_now().await;
        self.read(|rows| rows.users.iter().find(|user| user.id == id).cloned())
    }

    pub fn add_user(&self, name: &'static str) -> u64 {
        self.write(|rows| {
            let id = 1 + rows.users.len() as u64;
            let (is_admin, is_locked) = (false, false);
            rows.users.push(User {
                id,
                name,
                is_admin,
                is_locked,
            });
            id
        })
    }

    pub fn add_token(&self, text: &str, user_id: u64, scopes: &'static str) {
        let hash = Sha256::digest(text).into();
        self.write(|rows| {
            let id = 1 + rows.tokens.len() as u64;
            let is_revoked = false;
            rows.tokens.push(Token {
                id,
                hash,
                user_id,
                scopes,
                is_revoked,
            });
        });
    }

    pub fn change_user(&self, id: u64, change: impl FnOnce(&mut User)) {
        self.write(|rows| rows.users.iter_mut().find(|user| user.id == id).map(change));
    }

    pub fn revoke_tokens(&self, user_id: u64) {
        self.write(|rows| {
            let tokens = rows.tokens.iter_mut();
            tokens
                .filter(|token| token.user_id == user_id)
                .for_each(|token| token.is_revoked = true);
        });
    }

    pub fn set_down(&self, is_down: bool) {
        self.write(|rows| rows.is_down = is_down);
    }

    fn read<T>(&self, read: impl FnOnce(&Rows) -> T) -> Result<T, Down> {
        self.write(|rows| {
            if rows.is_down {
                Err(Down)
            } else {
                Ok(read(rows))
            }
        })
    }

    fn write<T>(&self, write: impl FnOnce(&mut Rows) -> T) -> T {
        write(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
