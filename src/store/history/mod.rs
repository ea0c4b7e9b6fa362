//! The history of keys: who changed which key, when and how.

mod history_entry;
mod history_kind;
mod history_page;
mod history_place;
mod history_query;
#[cfg(feature = "sql")]
mod history_row;

pub use history_entry::HistoryEntry;
pub use history_kind::HistoryKind;
pub use history_page::HistoryPage;
pub use history_place::HistoryPlace;
pub use history_query::HistoryQuery;
#[cfg(feature = "sql")]
pub use history_row::HistoryRow;
