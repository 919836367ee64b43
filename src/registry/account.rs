//! What the streams of one owner hold together, and which owner holds most. All streams without an owner count as one
//! owner's.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicIsize, Ordering};

/// An account is ranked anew once it differs from its rank by an eighth and this.
const SLACK: isize = 1024;

/// The memory of an owner's streams.
#[derive(Debug)]
pub(crate) struct Account {
    pub(super) number: u64,
    pub(super) owner: Option<u128>,
    /// It may be below zero for a moment, as that of all streams.
    bytes: AtomicIsize,
    /// What it was ranked by.
    ranked: AtomicIsize,
}

impl Account {
    pub(super) fn new(number: u64, owner: Option<u128>) -> Self {
        Self { number, owner, bytes: AtomicIsize::new(0), ranked: AtomicIsize::new(0) }
    }

    /// Adds bytes. Returns whether the account is to be ranked anew: seldom, so that growing takes no lock.
    #[inline]
    pub(super) fn add(&self, growth: isize) -> bool {
        let bytes = self.bytes.fetch_add(growth, Ordering::Relaxed) + growth;
        let ranked = self.ranked.load(Ordering::Relaxed);
        bytes.abs_diff(ranked) > ranked.unsigned_abs() / 8 + SLACK.unsigned_abs()
    }

    fn key(&self) -> (isize, u64) {
        (self.ranked.load(Ordering::Relaxed), self.number)
    }

    /// Whether its rank is what it holds.
    fn is_exact(&self) -> bool {
        self.ranked.load(Ordering::Relaxed) == self.bytes.load(Ordering::Relaxed)
    }
}

/// Which accounts are ranked: all, or those that have something.
#[derive(Clone, Copy, Debug)]
pub(super) enum Among {
    All,
    /// Those with streams that nobody reads.
    Unread,
    /// Those with sessions in which nobody reads.
    Idle,
}

/// The accounts by how much they hold.
#[derive(Debug, Default)]
pub(super) struct Ranking([BTreeMap<(isize, u64), Arc<Account>>; 3]);

impl Ranking {
    pub(super) fn add(&mut self, among: Among, account: &Arc<Account>) {
        self.0[among as usize].insert(account.key(), Arc::clone(account));
    }

    pub(super) fn remove(&mut self, among: Among, account: &Account) {
        self.0[among as usize].remove(&account.key());
    }

    /// Ranks an account by what it holds now, wherever it is ranked.
    pub(super) fn update(&mut self, account: &Arc<Account>) {
        let old = account.key();
        let places = self.0.each_mut().map(|ranks| (ranks.remove(&old).is_some(), ranks));
        account.ranked.store(account.bytes.load(Ordering::Relaxed), Ordering::Relaxed);
        for (_, ranks) in places.into_iter().filter(|(was_in, _)| *was_in) {
            ranks.insert(account.key(), Arc::clone(account));
        }
    }

    /// The account that holds most among these, below the rank `ceiling` if there is one.
    pub(super) fn most(&mut self, among: Among, ceiling: Option<Rank>) -> Option<Arc<Account>> {
        // What others add meanwhile must not keep us here.
        for _ in 0..8 {
            let account = self.top(among, ceiling)?;
            if account.is_exact() {
                return Some(account);
            }
            self.update(&account);
        }
        self.top(among, ceiling)
    }

    fn top(&self, among: Among, ceiling: Option<Rank>) -> Option<Arc<Account>> {
        let ranks = &self.0[among as usize];
        let top = match ceiling {
            Some(Rank(ceiling)) => ranks.range(..ceiling).next_back(),
            None => ranks.last_key_value(),
        };
        top.map(|(_, account)| Arc::clone(account))
    }
}

/// A place in a ranking.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rank((isize, u64));

impl Rank {
    pub(super) fn of(account: &Account) -> Self {
        Self(account.key())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(ranking: &mut Ranking, number: u64, bytes: isize) -> Arc<Account> {
        let account = Arc::new(Account::new(number, None));
        ranking.add(Among::All, &account);
        if account.add(bytes) {
            ranking.update(&account);
        }
        account
    }

    #[test]
    fn who_holds_most_is_found_also_after_it_has_given_up_some() {
        let mut ranking = Ranking::default();
        let large = account(&mut ranking, 1, 50_000);
        let small = account(&mut ranking, 2, 40_000);
        let most = |ranking: &mut Ranking| ranking.most(Among::All, None).unwrap().number;
        assert_eq!(most(&mut ranking), 1);
        assert!(!large.add(-500), "too little to be ranked anew");
        assert_eq!(most(&mut ranking), 1);
        assert!(large.add(-20_000));
        assert_eq!(most(&mut ranking), 2, "it is looked at before it is believed");
        let below = Some(Rank::of(&small));
        assert_eq!(ranking.most(Among::All, below).unwrap().number, 1);
        assert!(ranking.most(Among::Unread, None).is_none());
    }

    #[test]
    fn an_account_keeps_to_the_rankings_that_it_is_in() {
        let mut ranking = Ranking::default();
        let account = account(&mut ranking, 1, 50_000);
        ranking.add(Among::Idle, &account);
        assert!(account.add(50_000));
        ranking.update(&account);
        ranking.remove(Among::All, &account);
        assert!(ranking.most(Among::All, None).is_none());
        ranking.remove(Among::Idle, &account);
        assert!(ranking.most(Among::Idle, None).is_none());
    }
}
