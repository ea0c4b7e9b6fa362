//! The log of everything that a thread traces.

use std::sync::{Arc, Mutex};

use tracing::Level;
use tracing_subscriber::fmt::format::FmtSpan;

/// The output of a subscriber at TRACE, spans and events.
pub fn subscribe() -> (Arc<Mutex<Vec<u8>>>, tracing::subscriber::DefaultGuard) {
    struct Log(Arc<Mutex<Vec<u8>>>);
    impl std::io::Write for Log {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let log = Arc::new(Mutex::new(Vec::new()));
    let written = Arc::clone(&log);
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(Level::TRACE)
        .with_span_events(FmtSpan::FULL)
        .with_writer(move || Log(Arc::clone(&written)))
        .finish();
    (log, tracing::subscriber::set_default(subscriber))
}
