//! The password file of Postgres's own programs. sqlx would log a line that it cannot read.

use std::fs;
use std::path::PathBuf;

use sqlx::postgres::PgConnectOptions;
use tower_api_key::store::StoreError;

use super::error::wrong;

const PLACE: &str = "the password file";

/// The password of the first line that is for this server, in `PGPASSFILE` or `~/.pgpass`. A malformed
/// line is passed over, as by libpq.
pub(super) fn password(
    options: &PgConnectOptions,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<Option<String>, StoreError> {
    let named = variable("PGPASSFILE").map(PathBuf::from);
    let (path, must_be_there) = match (named, variable("HOME")) {
        (Some(path), _) => (path, true),
        (None, Some(home)) => (PathBuf::from(home).join(".pgpass"), false),
        (None, None) => return Ok(None),
    };
    if !path.is_file() {
        return if must_be_there {
            Err(wrong(PLACE, "PGPASSFILE does not name a file"))
        } else {
            Ok(None)
        };
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = fs::metadata(&path).map(|metadata| metadata.permissions().mode());
        if mode.is_ok_and(|mode| mode & 0o077 != 0) {
            return Err(wrong(PLACE, "others can read it; run chmod 600 on it"));
        }
    }
    let bytes = fs::read(&path).map_err(|_| wrong(PLACE, "it cannot be read"))?;
    let text = String::from_utf8_lossy(&bytes);
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    Ok(lines
        .filter_map(Line::of)
        .find_map(|line| line.password_for(options)))
}

/// Four fields that are compared, and the password.
struct Line([String; 5]);

impl Line {
    fn of(line: &str) -> Option<Self> {
        let mut fields: [String; 5] = Default::default();
        let mut at = 0;
        let mut characters = line.chars();
        while let Some(character) = characters.next() {
            match character {
                '\\' => fields[at].push(characters.next()?),
                ':' if at < 4 => at += 1,
                other => fields[at].push(other),
            }
        }
        (at == 4).then_some(Self(fields))
    }

    fn password_for(self, options: &PgConnectOptions) -> Option<String> {
        let [host, port, database, user, password] = self.0;
        let fits = |field: &str, value: &str| field == "*" || field == value;
        let server = options.get_host();
        let user_name = options.get_username();
        let matches = (fits(&host, server) || (server.starts_with('/') && host == "localhost"))
            && fits(&port, &options.get_port().to_string())
            // If no database is named, a server uses the role's name.
            && fits(&database, options.get_database().unwrap_or(user_name))
            && fits(&user, user_name);
        matches.then_some(password)
    }
}
