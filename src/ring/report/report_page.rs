//! A part of a report.

use super::finding::Finding;
use crate::record::KeyView;
use crate::store::{Cursor, KeyUsage, Unreadable};

/// A part of a report: the keys with findings, in the order of their ids. The parts follow each other in the order in which the store
/// reads its keys the fastest.
#[derive(Debug, Clone)]
pub struct ReportPage {
    pub(super) keys: Vec<ReportedKey>,
    pub(super) unreadable: Vec<Unreadable>,
    pub(super) used: usize,
    pub(super) knows_usage: bool,
    judged: usize,
    knows_uses: bool,
    next: Option<Cursor>,
}

impl ReportPage {
    pub(super) fn new(judged: usize, knows_uses: bool, next: Option<Cursor>) -> Self {
        Self {
            keys: Vec::new(),
            unreadable: Vec::new(),
            used: 0,
            knows_usage: false,
            judged,
            knows_uses,
            next,
        }
    }

    /// The keys with findings.
    pub fn keys(&self) -> &[ReportedKey] {
        &self.keys
    }

    /// The records that could not be read. Nothing is known of these keys.
    pub fn unreadable(&self) -> &[Unreadable] {
        &self.unreadable
    }

    /// How many keys were judged.
    pub fn judged(&self) -> usize {
        self.judged
    }

    /// How many of them were ever used. If that is none in all pages, no ring
    /// [tracks](crate::KeyRingBuilder::track_last_use) the uses, and the findings about them mean nothing.
    pub fn used(&self) -> usize {
        self.used
    }

    /// Whether the store keeps last uses. If not, no finding is about uses.
    pub fn knows_uses(&self) -> bool {
        self.knows_uses
    }

    /// Whether the store keeps what keys were used for, and the report asked for it. If not, no finding is about scopes
    /// that were never exercised, or about new networks.
    pub fn knows_usage(&self) -> bool {
        self.knows_usage
    }

    /// Where the next page begins. `None` if no key comes after this page.
    pub fn next(&self) -> Option<Cursor> {
        self.next
    }
}

/// A key with findings.
#[derive(Debug, Clone)]
pub struct ReportedKey {
    view: KeyView,
    findings: Vec<Finding>,
    usage: KeyUsage,
}

impl ReportedKey {
    pub(super) fn new(view: KeyView, findings: Vec<Finding>, usage: KeyUsage) -> Self {
        Self {
            view,
            findings,
            usage,
        }
    }

    /// The key, with its last use, at the moment at which it was judged.
    pub fn view(&self) -> &KeyView {
        &self.view
    }

    /// What the key was used for, if [that is known](ReportPage::knows_usage).
    pub fn usage(&self) -> &KeyUsage {
        &self.usage
    }

    /// The findings, at least one.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }
}
