//! The files at the path, and whether they are those that are open.

use std::ffi::OsString;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use tower_api_key::store::{StoreError, StoreErrorKind};

use super::failure::Origin;

/// A file, whatever its name: its device and its inode.
type Id = (u64, u64);

/// The file at the path, its write-ahead log and the index of that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Files {
    /// The file itself, if the path is a symbolic link to it.
    real: PathBuf,
    main: Id,
    log: Option<Id>,
    index: Option<Id>,
}

/// When a file was last written to, and how long it is.
pub(super) type Stamp = (Option<SystemTime>, u64);

impl Files {
    /// The files that are at the path now.
    pub(super) fn look(place: &Origin) -> Result<Self, StoreError> {
        let real = fs::canonicalize(&place.path).map_err(|error| missing(place, error))?;
        let metadata = fs::metadata(&real).map_err(|error| missing(place, error))?;
        refuse_other_names(place, &metadata)?;
        Ok(Self {
            main: id(&metadata),
            log: at(place, &with_suffix(&real, "-wal"))?,
            index: at(place, &with_suffix(&real, "-shm"))?,
            real,
        })
    }

    /// The same, for a file that may be opened. It is also refused if its log would be in another place
    /// for other processes.
    pub(super) fn look_before_opening(place: &Origin) -> Result<Self, StoreError> {
        let files = Self::look(place)?;
        refuse_mount(place, &files.real)?;
        files.refuse_deleted(place)?;
        Ok(files)
    }

    /// Refuses a file that this process has open with a log that was deleted.
    pub(super) fn refuse_deleted(&self, place: &Origin) -> Result<(), StoreError> {
        refuse_deleted(place, self)
    }

    /// The name by which SQLite opens the file.
    pub(super) fn real(&self) -> &Path {
        &self.real
    }

    /// Whether there is a log.
    pub(super) fn has_log(&self) -> bool {
        self.log.is_some()
    }

    /// Whether the index of the log is there, without which SQLite reads nothing.
    pub(super) fn has_index(&self) -> bool {
        self.index.is_some()
    }

    /// It changes when the log is brought into the file, and when the file is written over.
    pub(super) fn stamp(&self) -> Option<Stamp> {
        let metadata = fs::metadata(&self.real).ok()?;
        Some((metadata.modified().ok(), metadata.len()))
    }

    pub(super) fn same_main(&self, other: &Self) -> bool {
        self.main == other.main
    }

    /// Whether these are still the files at the path.
    pub(super) fn require_current(&self, place: &Origin) -> Result<(), StoreError> {
        let now = Self::look(place)?;
        let what = if now.main != self.main || now.real != self.real {
            "the file at this path is not the one that was opened: it was moved or replaced"
        } else if now.log != self.log {
            "the write-ahead log (-wal) is not the one that was opened: it was deleted or replaced"
        } else if now.index != self.index {
            "the index of the log (-shm) is not the one that was opened: it was deleted or replaced"
        } else {
            return Ok(());
        };
        let advice = format!("{what}; the store opens the file again");
        Err(place.error(StoreErrorKind::Unavailable, &advice))
    }

    /// Whether the content of the log can be written to the file before it is closed: no other process
    /// can have opened the file with another log.
    pub(super) fn may_rescue(&self, place: &Origin) -> bool {
        let main = at(place, &place.path);
        let log = at(place, &with_suffix(&self.real, "-wal"));
        match (main, log) {
            (Ok(main), Ok(log)) if main == Some(self.main) => log.is_none(),
            (Ok(_), Ok(log)) => log.is_some() && log == self.log,
            _ => false,
        }
    }

    /// Removes a log that belongs to the file that was replaced: SQLite would read it as that of the new
    /// one.
    pub(super) fn discard_log(&self, place: &Origin, now: &Self) -> Result<(), StoreError> {
        if now.main == self.main || now.real != self.real || self.log.is_none() {
            return Ok(());
        }
        for (suffix, mine, there) in [("-wal", self.log, now.log), ("-shm", self.index, now.index)]
        {
            if mine.is_some() && mine == there {
                fs::remove_file(with_suffix(&self.real, suffix)).map_err(|error| {
                    place.io("cannot remove the log of the replaced file", error)
                })?;
            }
        }
        Ok(())
    }

    /// Refuses a log that belongs to the file that was replaced, if this process may not write.
    pub(super) fn refuse_log(&self, place: &Origin, now: &Self) -> Result<(), StoreError> {
        let left = now.main != self.main && self.log.is_some() && now.log == self.log;
        if left && fs::metadata(with_suffix(&self.real, "-wal")).is_ok_and(|log| log.len() > 0) {
            return Err(place.error(
                StoreErrorKind::Unavailable,
                "its write-ahead log (-wal) belongs to the file that was replaced; open the store \
                 to write, or remove the log",
            ));
        }
        Ok(())
    }
}

pub(super) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

fn missing(place: &Origin, error: std::io::Error) -> StoreError {
    if error.kind() == ErrorKind::NotFound {
        return place.error(
            StoreErrorKind::Unavailable,
            "there is no such file; check the name, or create the store first",
        );
    }
    place.io("cannot find", error)
}

fn at(place: &Origin, path: &Path) -> Result<Option<Id>, StoreError> {
    match fs::metadata(path) {
        Ok(metadata) => Ok(Some(id(&metadata))),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(place.io("cannot find", error)),
    }
}

#[cfg(unix)]
fn id(metadata: &fs::Metadata) -> Id {
    use std::os::unix::fs::MetadataExt;

    (metadata.dev(), metadata.ino())
}

/// On other systems a file that is open can neither be moved nor removed.
#[cfg(not(unix))]
fn id(_: &fs::Metadata) -> Id {
    (0, 0)
}

/// If another process uses another name, it opens the same file with another log.
#[cfg(unix)]
fn refuse_other_names(place: &Origin, metadata: &fs::Metadata) -> Result<(), StoreError> {
    use std::os::unix::fs::MetadataExt;

    if metadata.is_dir() || metadata.nlink() == 1 {
        return Ok(());
    }
    let advice = format!(
        "the file has {} names (hard links), and each has a write-ahead log of its own; leave one \
         name",
        metadata.nlink()
    );
    Err(place.error(StoreErrorKind::Unavailable, &advice))
}

#[cfg(not(unix))]
fn refuse_other_names(_: &Place, _: &fs::Metadata) -> Result<(), StoreError> {
    Ok(())
}

/// If a file is mounted by itself, its log is in another folder than for processes outside the mount.
#[cfg(target_os = "linux")]
fn refuse_mount(place: &Origin, real: &Path) -> Result<(), StoreError> {
    use std::os::unix::ffi::OsStrExt;

    // A system that does not list its mounts does not mount single files either.
    let Ok(mounts) = fs::read("/proc/self/mountinfo") else {
        return Ok(());
    };
    let mut points = mounts
        .split(|byte| *byte == b'\n')
        .filter_map(|line| line.split(|byte| *byte == b' ').nth(4));
    if points.any(|point| unescaped(point) == real.as_os_str().as_bytes()) && !real.is_dir() {
        return Err(place.error(
            StoreErrorKind::Unavailable,
            "the file is a mount of its own, so its write-ahead log is not the one that others \
             use; mount its folder, not the file",
        ));
    }
    Ok(())
}

/// A path as the kernel writes it: white space and backslashes are three octal digits.
#[cfg(target_os = "linux")]
fn unescaped(text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        let octal = (*first == b'\\')
            .then(|| after.get(..3))
            .flatten()
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        bytes.push(octal.unwrap_or(*first));
        rest = if octal.is_some() { &after[3..] } else { after };
    }
    bytes
}

#[cfg(not(target_os = "linux"))]
fn refuse_mount(_: &Place, _: &Path) -> Result<(), StoreError> {
    Ok(())
}

/// SQLite shares the index of the log among the connections of a process. While one of them holds an
/// index that is deleted, a new connection would get that one, and not see the changes of other
/// processes.
#[cfg(target_os = "linux")]
fn refuse_deleted(place: &Origin, files: &Files) -> Result<(), StoreError> {
    let deleted = |suffix: &str| with_suffix(&files.real, &format!("{suffix} (deleted)"));
    let (log, index) = (deleted("-wal"), deleted("-shm"));
    let Ok(open) = fs::read_dir("/proc/self/fd") else {
        return Ok(());
    };
    let (mut holds_main, mut holds_deleted) = (false, false);
    for descriptor in open.flatten() {
        let Ok(name) = fs::read_link(descriptor.path()) else {
            continue;
        };
        holds_deleted |= name == log || name == index;
        holds_main |= fs::metadata(descriptor.path()).is_ok_and(|it| id(&it) == files.main);
    }
    if holds_main && holds_deleted {
        return Err(place.error(
            StoreErrorKind::Unavailable,
            "this process has the file open with a write-ahead log that was deleted; try again \
             when that store has closed it, within seconds",
        ));
    }
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn refuse_deleted(_: &Place, _: &Files) -> Result<(), StoreError> {
    Ok(())
}
