//! A real nginx between the client and the layer.

mod asks;
mod caches;
mod proxy;
mod uploads;
