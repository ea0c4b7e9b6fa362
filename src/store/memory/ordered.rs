//! Records in an order, each as one pointer.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::marker::PhantomData;
use std::ops::Bound;
use std::sync::Arc;

use crate::key::KeyId;
use crate::record::KeyRecord;

/// What records are ordered by, before their ids.
pub(super) trait Order {
    fn name(record: &KeyRecord) -> &[u8];
}

/// By their ids alone.
pub(super) struct ById;
pub(super) struct ByLineage;
pub(super) struct BySubject;

impl Order for ById {
    fn name(_: &KeyRecord) -> &[u8] {
        b""
    }
}

impl Order for ByLineage {
    fn name(record: &KeyRecord) -> &[u8] {
        record.lineage_text().as_bytes()
    }
}

impl Order for BySubject {
    fn name(record: &KeyRecord) -> &[u8] {
        record.subject().as_str().as_bytes()
    }
}

/// Records in an order. Names and ids are those in the records, so an order costs some twelve bytes a record.
pub(super) struct Ordered<O>(BTreeSet<InOrder<O>>);

impl<O> Default for Ordered<O> {
    fn default() -> Self {
        Self(BTreeSet::new())
    }
}

impl<O: Order> Ordered<O> {
    /// Puts a record in the place of the one with its name and id, and returns that.
    pub(super) fn put(&mut self, record: &Arc<KeyRecord>) -> Option<Arc<KeyRecord>> {
        let replaced = self.0.replace(InOrder(Arc::clone(record), PhantomData));
        replaced.map(|InOrder(record, _)| record)
    }

    pub(super) fn remove(&mut self, record: &KeyRecord) {
        self.0
            .remove(&place(O::name(record), record.id()) as &dyn Placed);
    }

    /// The record with this name and id.
    pub(super) fn get(&self, name: &[u8], id: KeyId) -> Option<&Arc<KeyRecord>> {
        let record = self.0.get(&place(name, id) as &dyn Placed);
        record.map(|InOrder(record, _)| record)
    }

    /// The records of a name, from this id on.
    pub(super) fn of<'a>(
        &'a self,
        name: &'a [u8],
        first: KeyId,
    ) -> impl Iterator<Item = &'a Arc<KeyRecord>> + Clone {
        let from = place(name, first);
        let from = Bound::Included(&from as &dyn Placed);
        let records = self.0.range::<dyn Placed, _>((from, Bound::Unbounded));
        let records = records.map(|InOrder(record, _)| record);
        records.take_while(move |record| O::name(record) == name)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<KeyRecord>> {
        self.0.iter().map(|InOrder(record, _)| record)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

struct InOrder<O>(Arc<KeyRecord>, PhantomData<O>);

/// A place in an order: that of a record, or one that is looked for.
trait Placed {
    fn place(&self) -> (&[u8], KeyId);
}

fn place(name: &[u8], id: KeyId) -> (&[u8], KeyId) {
    (name, id)
}

impl Placed for (&[u8], KeyId) {
    fn place(&self) -> (&[u8], KeyId) {
        *self
    }
}

impl<O: Order> Placed for InOrder<O> {
    fn place(&self) -> (&[u8], KeyId) {
        (O::name(&self.0), self.0.id())
    }
}

impl<'a, O: Order + 'a> Borrow<dyn Placed + 'a> for InOrder<O> {
    fn borrow(&self) -> &(dyn Placed + 'a) {
        self
    }
}

impl PartialEq for dyn Placed + '_ {
    fn eq(&self, other: &Self) -> bool {
        self.place() == other.place()
    }
}

impl Eq for dyn Placed + '_ {}

impl PartialOrd for dyn Placed + '_ {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for dyn Placed + '_ {
    fn cmp(&self, other: &Self) -> Ordering {
        self.place().cmp(&other.place())
    }
}

impl<O: Order> PartialEq for InOrder<O> {
    fn eq(&self, other: &Self) -> bool {
        self.place() == other.place()
    }
}

impl<O: Order> Eq for InOrder<O> {}

impl<O: Order> PartialOrd for InOrder<O> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<O: Order> Ord for InOrder<O> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.place().cmp(&other.place())
    }
}
