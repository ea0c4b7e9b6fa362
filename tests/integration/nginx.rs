//! A real nginx between the client and the layer.

mod asks;
mod caches;
#[cfg(target_os = "linux")]
mod forwards;
mod proxy;
mod uploads;
