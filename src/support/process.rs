//! Which process this is.

/// The number that the operating system gives to a process.
pub(crate) type Number = i32;

/// The number of this process. It is 0 on systems on which no replica is fresh, because their clock does not count
/// suspension.
pub(crate) fn number() -> Number {
    #[cfg(target_os = "linux")]
    return rustix::process::getpid().as_raw_nonzero().get();
    #[cfg(not(target_os = "linux"))]
    0
}
