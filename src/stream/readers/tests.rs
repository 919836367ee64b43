use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Wake;

use proptest::prelude::*;

use super::crowd::VISITS;
use super::*;
use crate::log::Log;
use crate::resume::event_id::{IdLine, Marker, Token};

fn reader(next: u64) -> Reader {
    Reader::new(Cursor::before(next, 0), 1, 0)
}

/// Places for readers that follow.
fn follower() -> Follower {
    let line = IdLine::new(&Marker::default(), &Token::from_text(&[b'A'; 22]).unwrap(), 1);
    Log::new(line, &[]).tail().follow()
}

#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn wake(readers: &mut Readers) -> usize {
    let mut wakers = Vec::new();
    readers.wake_all(&mut wakers);
    wakers.len()
}

/// What happens to a reader: which of those that there are, and what.
#[derive(Clone, Debug)]
enum Step {
    Come(u64),
    Leave(usize),
    Move(usize, u64),
    Follow(usize, bool),
    Wait(usize),
    WakeAll,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (1_u64..9).prop_map(Step::Come),
        2 => any::<usize>().prop_map(Step::Leave),
        6 => (any::<usize>(), 1_u64..9).prop_map(|(which, next)| Step::Move(which, next)),
        3 => (any::<usize>(), any::<bool>()).prop_map(|(which, on)| Step::Follow(which, on)),
        4 => any::<usize>().prop_map(Step::Wait),
        1 => Just(Step::WakeAll),
    ]
}

proptest! {
    #[test]
    fn the_index_finds_whom_a_look_at_all_readers_finds(steps in prop::collection::vec(step(), 0..200)) {
        let mut readers = Readers::default();
        let mut keys = Vec::new();
        let pick = |keys: &[usize], which: usize| (!keys.is_empty()).then(|| which % keys.len());
        for step in steps {
            match step {
                Step::Come(next) => {
                    let key = readers.insert(reader(next));
                    prop_assert!(!keys.contains(&key));
                    keys.push(key);
                }
                Step::Leave(which) => {
                    if let Some(at) = pick(&keys, which) {
                        prop_assert!(readers.remove(keys.swap_remove(at)).is_some());
                    }
                }
                Step::Move(which, next) => {
                    if let Some(at) = pick(&keys, which) {
                        readers.move_to(keys[at], Cursor::before(next, 0));
                    }
                }
                Step::Follow(which, on) => {
                    if let Some(at) = pick(&keys, which) {
                        readers.set_follower(keys[at], on.then(follower));
                    }
                }
                Step::Wait(which) => {
                    if let Some(at) = pick(&keys, which) {
                        readers.wait(keys[at], Waker::noop());
                    }
                }
                Step::WakeAll => {
                    let waiting = readers.slots.iter().flatten().filter(|reader| reader.waker.is_some());
                    let waiting = waiting.count();
                    prop_assert_eq!(wake(&mut readers), waiting);
                }
            }
            let all = readers.slots.iter().flatten();
            prop_assert_eq!(readers.foremost().map(Reader::rank), all.map(Reader::rank).max());
            prop_assert_eq!(readers.len(), keys.len());
        }
    }
}

#[test]
fn each_reader_that_waits_is_woken_once() {
    let mut readers = Readers::default();
    let count = Arc::new(Count::default());
    let keys: Vec<_> = (0..5).map(|_| readers.insert(reader(1))).collect();
    for key in &keys {
        readers.wait(*key, &Waker::from(Arc::clone(&count)));
        readers.wait(*key, &Waker::from(Arc::clone(&count)));
    }
    readers.remove(keys[2]);
    assert_eq!(readers.insert(reader(1)), keys[2], "the place of one that has left is taken again");
    let mut wakers = Vec::new();
    readers.wake_all(&mut wakers);
    wakers.drain(..).for_each(Waker::wake);
    readers.wake_all(&mut wakers);
    assert!(wakers.is_empty());
    assert_eq!(count.0.load(Ordering::Relaxed), 4);
}

#[test]
fn one_reader_needs_no_index() {
    let mut readers = Readers::default();
    for next in 1..4 {
        let key = readers.insert(reader(next));
        assert_eq!(key, 0);
        assert_eq!(readers.foremost().unwrap().cursor().next, next);
        readers.remove(key);
    }
    assert!(readers.crowd.is_none());
    assert_eq!(readers.heap_bytes(), size_of::<Option<Reader>>());
}

#[test]
fn nothing_is_left_of_a_crowd_that_has_gone() {
    let mut readers = Readers::default();
    let keys: Vec<_> = (0..100).map(|_| readers.insert(reader(1))).collect();
    for key in keys {
        readers.remove(key);
    }
    assert!(readers.heap_bytes() <= size_of::<Option<Reader>>());
    assert_eq!(readers.insert(reader(1)), 0);
}

#[test]
fn readers_that_wait_and_leave_without_an_event_leave_nothing_behind() {
    let mut readers = Readers::default();
    let others: Vec<_> = (0..7).map(|_| readers.insert(reader(1))).collect();
    let before = readers.heap_bytes();
    for _ in 0..10_000 {
        let key = readers.insert(reader(1));
        readers.wait(key, Waker::noop());
        readers.remove(key);
    }
    assert!(readers.heap_bytes() <= before + 32 * size_of::<u32>(), "{}", readers.heap_bytes());
    assert_eq!(readers.len(), others.len());
}

/// Steps over readers that `work` takes.
fn visits(work: impl FnOnce()) -> usize {
    let before = VISITS.get();
    work();
    VISITS.get() - before
}

/// A crowd of readers that have all there is and wait.
fn crowd(count: usize) -> (Readers, Vec<usize>) {
    let mut readers = Readers::default();
    let keys = (0..count).map(|_| readers.insert(reader(1))).collect::<Vec<_>>();
    for key in &keys {
        readers.wait(*key, Waker::noop());
    }
    (readers, keys)
}

#[test]
fn an_event_costs_a_few_steps_for_each_reader_that_waits() {
    let [once, twice] = [1_000, 2_000].map(|count| {
        let (mut readers, keys) = crowd(count);
        let mut next = 1;
        visits(|| {
            for _ in 0..10 {
                next += 1;
                readers.foremost();
                assert_eq!(wake(&mut readers), count);
                for key in &keys {
                    readers.move_to(*key, Cursor::before(next, 0));
                    readers.wait(*key, Waker::noop());
                }
            }
        })
    });
    assert!(once <= 10 * 1_000 * 5, "{once}");
    assert!(twice * 10 <= once * 22, "{once} {twice}");
}

#[test]
fn an_event_that_only_one_reader_takes_costs_nothing_for_the_others() {
    for count in [1_000, 64_000] {
        let (mut readers, keys) = crowd(count);
        wake(&mut readers);
        let first = keys[0];
        for next in 2..100 {
            readers.wait(first, Waker::noop());
            let steps = visits(|| {
                readers.foremost();
                assert_eq!(wake(&mut readers), 1);
                readers.move_to(first, Cursor::before(next, 0));
            });
            assert!(steps <= 20, "{steps} of {count}");
        }
    }
}

#[test]
fn a_reader_that_comes_or_goes_costs_the_same_however_many_there_are() {
    for count in [1_000, 64_000] {
        let (mut readers, _) = crowd(count);
        let come = readers.insert(reader(9));
        readers.remove(come);
        for next in 9..100 {
            let steps = visits(|| {
                let key = readers.insert(reader(next));
                readers.supersede(key);
                readers.remove(key);
            });
            assert!(steps <= 40, "{steps} of {count}");
        }
    }
}
