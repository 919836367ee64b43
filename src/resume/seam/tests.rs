use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const GAP: Verdict = Verdict::SendAfterGap(GapReason::Diverged);
use Verdict::{Send, Skip};

/// An event as the inner service writes it: an ID of its own or none, and its content.
type Event = (Option<String>, u64);

fn event(id: &str, content: char) -> Event {
    (Some(id.to_owned()), content.into())
}

fn without_id(content: char) -> Event {
    (None, content.into())
}

/// Events with one letter of content each, under the IDs 1, 2, 3 and so on.
fn counted(contents: &str) -> Vec<Event> {
    (1..).zip(contents.chars()).map(|(id, content)| event(&id.to_string(), content)).collect()
}

/// The events with the ID in force at each.
fn in_force(events: &[Event]) -> Vec<(String, u64)> {
    let mut id = String::new();
    let with_id = |(own, hash): &Event| {
        id = own.clone().unwrap_or_else(|| id.clone());
        (id.clone(), *hash)
    };
    events.iter().map(with_id).collect()
}

fn observe_all(seam: &mut Seam, events: &[Event]) -> Vec<Verdict> {
    let id = |own: &Option<String>| own.clone().map(String::into_bytes);
    events.iter().map(|(own, hash)| seam.observe(id(own).as_deref(), *hash)).collect()
}

/// What becomes of `response` after `history`, when the newest ID in force was sent.
fn verdicts(history: &[Event], response: &[Event]) -> Vec<Verdict> {
    let window = in_force(history);
    let sent = window.last().map(|(id, _)| id.clone()).unwrap_or_default();
    observe_all(&mut Seam::new(window, sent.as_bytes()), response)
}

#[test]
fn a_service_that_goes_on_exactly_is_sent_whole() {
    let all = counted("abcdef");
    assert_eq!(verdicts(&all[..4], &all[4..]), [Send, Send]);
}

#[test]
fn a_service_that_resends_everything_is_skipped_to_the_new_events() {
    let all = counted("abcdef");
    assert_eq!(verdicts(&all[..4], &all), [Skip, Skip, Skip, Skip, Send, Send]);
}

#[test]
fn a_service_that_resends_the_last_event_is_skipped_once() {
    let all = counted("abcdef");
    assert_eq!(verdicts(&all[..4], &all[3..]), [Skip, Send, Send]);
}

#[test]
fn skipping_ends_with_the_newest_event_even_if_it_comes_again() {
    let history = counted("ab");
    let response = [event("2", 'b'), event("2", 'b'), event("1", 'a'), event("1", 'z')];
    assert_eq!(verdicts(&history, &response), [Skip, Send, Send, Send]);
}

#[test]
fn a_counter_that_began_anew_is_told_once_and_sent() {
    assert_eq!(verdicts(&counted("abc"), &counted("xyzw")), [GAP, Send, Send, Send]);
    assert_eq!(verdicts(&counted("abc"), &counted("aycw")), [Skip, GAP, Send, Send]);
}

#[test]
fn the_sent_id_with_other_content_is_told_where_it_named_one_event() {
    assert_eq!(verdicts(&counted("abc"), &[event("3", 'z')]), [GAP]);
    assert_eq!(verdicts(&counted("a"), &[event("1", 'z')]), [GAP]);
}

#[test]
fn new_events_without_an_id_are_no_contradiction() {
    assert_eq!(verdicts(&counted("abc"), &[without_id('z'), event("4", 'd')]), [Send, Send]);
    let resent_then_new = [event("3", 'c'), without_id('z')];
    assert_eq!(verdicts(&counted("abc"), &resent_then_new), [Skip, Send]);
}

#[test]
fn events_without_an_id_are_resent_under_the_id_in_force() {
    let history = [event("1", 'a'), without_id('p'), event("2", 'b'), without_id('q')];
    assert_eq!(verdicts(&history, &history), [Skip; 4]);
    assert_eq!(verdicts(&history, &history[2..]), [Skip; 2]);
    assert_eq!(verdicts(&history, &history[3..]), [Skip], "the sent ID is in force at the start");
    assert_eq!(verdicts(&history, &history[1..]), [Send; 3], "no ID says where it belongs");
}

#[test]
fn other_content_under_an_older_id_is_told_with_or_without_an_id_of_its_own() {
    let history = [event("1", 'a'), without_id('p'), event("2", 'b')];
    assert_eq!(verdicts(&history, &[event("1", 'a'), without_id('z')]), [Skip, GAP]);
}

#[test]
fn equal_ids_as_checkpoints_are_matched_in_order() {
    let history =
        [event("1", 'a'), event("1", 'b'), event("1", 'c'), event("2", 'd'), event("2", 'e')];
    assert_eq!(verdicts(&history, &history), [Skip; 5]);
    assert_eq!(verdicts(&history, &history[3..]), [Skip; 2]);
    let next = [event("2", 'f'), event("2", 'd'), event("3", 'g')];
    assert_eq!(verdicts(&history, &next), [Send; 3], "a checkpoint goes on");
}

#[test]
fn identical_events_are_matched_one_by_one() {
    let history = [event("1", 'a'), event("1", 'a'), event("1", 'a')];
    let response = vec![event("1", 'a'); 5];
    assert_eq!(verdicts(&history, &response), [Skip, Skip, Skip, Send, Send]);
}

#[test]
fn a_resend_may_leave_events_out() {
    let history = [event("1", 'a'), without_id('p'), event("2", 'b'), event("3", 'c')];
    let response = [event("1", 'a'), event("3", 'c'), event("4", 'd')];
    assert_eq!(verdicts(&history, &response), [Skip, Skip, Send]);
}

#[test]
fn a_known_event_out_of_order_ends_skipping_without_a_gap() {
    let response = [event("2", 'b'), event("1", 'a'), event("3", 'c')];
    assert_eq!(verdicts(&counted("abc"), &response), [Skip, Send, Send]);
}

#[test]
fn a_resend_that_begins_before_the_window_is_sent_whole() {
    let all = counted("abcdef");
    assert_eq!(verdicts(&all[2..], &all), [Send; 6]);
}

#[test]
fn an_id_that_was_reset_names_nothing() {
    let history = [event("1", 'a'), event("", 'b'), event("2", 'c')];
    assert_eq!(verdicts(&history, &history), [Skip; 3]);
    assert_eq!(verdicts(&history, &[event("", 'z')]), [Send]);
}

#[test]
fn the_resume_point_may_lie_before_events_whose_id_cannot_be_sent() {
    let history = [event("1", 'a'), event("\u{1}", 'b')];
    let mut seam = Seam::new(in_force(&history), b"1");
    assert_eq!(seam.observe(Some(b"\x01"), 'b'.into()), Skip);
    assert!(seam.is_over());
}

#[test]
fn without_an_id_or_a_known_event_nothing_is_skipped() {
    let history = [without_id('a'), without_id('b')];
    assert_eq!(verdicts(&history, &history), [Send; 2]);
    assert_eq!(verdicts(&[], &counted("ab")), [Send; 2]);
    assert!(Seam::new(in_force(&history), b"").is_over());
    let mut unknown = Seam::new(in_force(&history), b"9");
    assert_eq!(unknown.observe(None, 'a'.into()), Send);
}

/// The rule, event by event and without an index.
fn model(history: &[Event], response: &[Event]) -> Vec<Verdict> {
    let window = in_force(history);
    let sent = window.last().map(|(id, _)| id.clone()).unwrap_or_default();
    let (mut id, mut next, mut over) = (sent.clone(), 0, window.is_empty() || sent.is_empty());
    let judge = |(own, hash): &Event| {
        if over {
            return Send;
        }
        id = own.clone().unwrap_or_else(|| id.clone());
        let pair = (id.clone(), *hash);
        if let Some(ahead) = window[next..].iter().position(|known| *known == pair) {
            next += ahead + 1;
            over = next == window.len();
            return Skip;
        }
        over = true;
        let holders = window.iter().filter(|known| known.0 == id).count();
        let names_one = !id.is_empty() && (id != sent || (own.is_some() && holders == 1));
        if holders > 0 && names_one && !window.contains(&pair) { GAP } else { Send }
    };
    response.iter().map(judge).collect()
}

/// Few IDs and few contents, so that all kinds of coincidence happen.
fn any_events() -> impl Strategy<Value = Vec<Event>> {
    vec((proptest::option::of("[1-4]?"), 0_u64..3), 0..12)
}

/// A history whose IDs rise, stay (a checkpoint) or are left out, and begins with one.
fn rising() -> impl Strategy<Value = Vec<Event>> {
    vec((0..4, 0_u64..3), 1..30).prop_map(|steps| {
        let mut last = 1;
        let mut events = vec![(Some("1".to_owned()), 9)];
        events.extend(steps.into_iter().map(|(step, hash)| match step {
            0 => (None, hash),
            1 => (Some(last.to_string()), hash),
            _ => {
                last += 1;
                (Some(last.to_string()), hash)
            }
        }));
        events
    })
}

fn fresh(hashes: &[u64]) -> Vec<Event> {
    (1..).zip(hashes).map(|(id, hash)| (Some(format!("new-{id}")), *hash)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn every_verdict_is_that_of_the_rule(history in any_events(), response in any_events()) {
        prop_assert_eq!(verdicts(&history, &response), model(&history, &response));
    }

    #[test]
    fn whatever_is_resent_from_an_id_on_is_skipped_and_what_is_new_is_sent(
        history in rising(),
        from: proptest::sample::Index,
        new in vec(0_u64..3, 0..5),
    ) {
        let starts: Vec<usize> =
            (0..history.len()).filter(|at| history[*at].0.is_some()).collect();
        let resent = &history[starts[from.index(starts.len())]..];
        let new = fresh(&new);
        let expected = [vec![Skip; resent.len()], vec![Send; new.len()]].concat();
        prop_assert_eq!(verdicts(&history, &[resent, &new].concat()), expected);
    }

    #[test]
    fn a_counter_that_began_anew_loses_nothing_that_differs(
        history in vec(0_u64..3, 1..20),
        anew in vec(0_u64..3, 0..30),
    ) {
        let number = |hashes: &[u64]| -> Vec<Event> {
            (1..).zip(hashes).map(|(id, hash)| (Some(id.to_string()), *hash)).collect()
        };
        let verdicts = verdicts(&number(&history), &number(&anew));
        let same = history.iter().zip(&anew).take_while(|(old, new)| old == new).count();
        let mut expected = vec![Skip; same];
        if same < history.len().min(anew.len()) {
            expected.push(GAP);
        }
        expected.resize(anew.len(), Send);
        prop_assert_eq!(verdicts, expected);
    }

    #[test]
    fn a_service_that_goes_on_exactly_loses_nothing_and_is_told_nothing(
        history in rising(),
        under_the_sent_id in vec((any::<bool>(), 3_u64..6), 0..5),
        new in vec(0_u64..3, 0..5),
    ) {
        let window = in_force(&history);
        let (sent, _) = window.last().unwrap();
        let checkpoint = window.iter().filter(|known| known.0 == *sent).count() > 1;
        let before = under_the_sent_id.into_iter().map(|(own, hash)| {
            ((own && checkpoint).then(|| sent.clone()), hash)
        });
        let response = before.chain(fresh(&new)).collect::<Vec<_>>();
        prop_assert_eq!(verdicts(&history, &response), vec![Send; response.len()]);
    }
}
