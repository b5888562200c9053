//! The scopes, each with its list: one of everything, and one for each organization, each project, and each project's name, which
//! several organizations may use. A scope that became empty is forgotten.

use std::hash::BuildHasher;
use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use slab::Slab;
use smallvec::SmallVec;

use super::maps::index;
use super::order::Order;

/// One list, and the ids that all of its optimizations have. `None` stands for any.
pub struct Scope {
    pub organization_id: Option<Arc<str>>,
    pub project_id: Option<Arc<str>>,
    pub order: Order,
    /// The numbers of the scopes around a project's scope, which list all that it lists. Other scopes have none.
    around: SmallVec<[u32; 3]>,
}

/// All scopes, found by their ids and by number.
#[derive(Default)]
pub struct Scopes {
    by_number: Slab<Scope>,
    numbers: HashTable<u32>,
    hasher: RandomState,
}

impl Scopes {
    pub fn get(&self, scope: u32) -> Option<&Scope> {
        self.by_number.get(scope as usize)
    }

    /// Returns the scope that an optimization's slot names by its number.
    pub fn project(&self, project: u32) -> &Scope {
        &self.by_number[project as usize]
    }

    /// Returns one more than the greatest number of a scope.
    pub fn end(&self) -> u32 {
        index(self.by_number.capacity())
    }

    pub fn find(&self, organization_id: Option<&str>, project_id: Option<&str>) -> Option<u32> {
        let hash = self.hasher.hash_one((organization_id, project_id));
        let found = self.numbers.find(hash, |scope| {
            let scope = &self.by_number[*scope as usize];
            scope.organization_id.as_deref() == organization_id && scope.project_id.as_deref() == project_id
        });
        found.copied()
    }

    pub fn find_or_add_project(&mut self, organization_id: &str, project_id: &str) -> u32 {
        if let Some(project) = self.find(Some(organization_id), Some(project_id)) {
            return project;
        }
        let organization = self.find_or_add(Some(organization_id), None);
        let name = self.find_or_add(None, Some(project_id));
        let all = self.find_or_add(None, None);
        // The scopes share each text, so that it is in memory once.
        let organization_id = self.by_number[organization as usize].organization_id.clone();
        let project_id = self.by_number[name as usize].project_id.clone();
        self.add(organization_id, project_id, SmallVec::from([all, organization, name]))
    }

    fn find_or_add(&mut self, organization_id: Option<&str>, project_id: Option<&str>) -> u32 {
        let found = self.find(organization_id, project_id);
        found.unwrap_or_else(|| {
            self.add(organization_id.map(Arc::from), project_id.map(Arc::from), SmallVec::new())
        })
    }

    fn add(
        &mut self,
        organization_id: Option<Arc<str>>,
        project_id: Option<Arc<str>>,
        around: SmallVec<[u32; 3]>,
    ) -> u32 {
        let scope = Scope { organization_id, project_id, order: Order::default(), around };
        let Scopes { by_number, numbers, hasher } = self;
        let hash =
            |scope: &Scope| hasher.hash_one((scope.organization_id.as_deref(), scope.project_id.as_deref()));
        let hash_of_new = hash(&scope);
        let number = index(by_number.insert(scope));
        numbers.insert_unique(hash_of_new, number, |number| hash(&by_number[*number as usize]));
        number
    }

    /// Returns the numbers of a project's scope and of those around it.
    pub fn with_those_around(&self, project: u32) -> SmallVec<[u32; 4]> {
        let around = self.by_number.get(project as usize).map(|scope| scope.around.as_slice()).unwrap_or_default();
        around.iter().copied().chain([project]).collect()
    }

    /// Changes the orders of a project's scope and of those around it.
    pub fn each_order(&mut self, project: u32, mut change: impl FnMut(&mut Order)) {
        for scope in self.with_those_around(project) {
            change(&mut self.by_number[scope as usize].order);
        }
    }

    pub fn order_mut(&mut self, scope: u32) -> &mut Order {
        &mut self.by_number[scope as usize].order
    }

    /// Forgets those that are empty of a project's scope and the scopes around it.
    pub fn forget_if_empty(&mut self, project: u32) {
        for scope in self.with_those_around(project) {
            if self.by_number.get(scope as usize).is_some_and(|scope| scope.order.is_empty()) {
                let forgotten = self.by_number.remove(scope as usize);
                let key = (forgotten.organization_id.as_deref(), forgotten.project_id.as_deref());
                let entry = self.numbers.find_entry(self.hasher.hash_one(key), |number| *number == scope);
                entry.expect("every scope is found").remove();
            }
        }
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        assert_eq!(self.by_number.len(), self.numbers.len());
        self.by_number.len()
    }
}
