//! What a matrix knows of its stack.

use super::matrix_keys::MatrixKeys;
use crate::middleware::credential::source::Source;
use crate::middleware::guard::routes::RouteTable;

#[derive(Clone)]
pub(super) struct Settings {
    pub(super) keys: Vec<MatrixKeys>,
    pub(super) table: RouteTable,
    pub(super) sources: Vec<Source>,
    pub(super) parameters: Vec<(String, String)>,
    /// Whether a layer outside answers `OPTIONS`.
    pub(super) answers_preflights: bool,
    /// Whether requests are those of gRPC clients.
    pub(super) is_grpc: bool,
}

impl Settings {
    /// A path that a pattern matches.
    pub(super) fn path_of(&self, pattern: &str) -> String {
        let segments = pattern
            .split('/')
            .map(|segment| match segment.split_once('{') {
                None => segment.to_owned(),
                Some((before, name)) => {
                    let name = name.trim_start_matches('*').trim_end_matches('}');
                    // The last that was set.
                    let mut set = self.parameters.iter().rev();
                    let value = set
                        .find(|(of, _)| of == name)
                        .map_or("1", |(_, value)| value);
                    format!("{before}{value}")
                }
            });
        segments.collect::<Vec<_>>().join("/")
    }
}
