//! A call as another instance gets it from a store: a byte for the era, one for the shape of the message, then its ID and
//! its method, each after its length.

use std::sync::Arc;

use super::call::Call;
use super::era::Era;
use super::message::{Message, Shape};
use crate::exchange::Exchange;

/// What [`revive`] reads.
pub(super) fn encode(call: &Call) -> Vec<u8> {
    let era = match call.era() {
        Era::Resumable => 0,
        Era::Primed => 1,
        Era::Gone => 2,
    };
    let Some(message) = call.message() else { return vec![era] };
    let shape = match message.shape {
        Shape::Unknown => 0,
        Shape::Single => 1,
        Shape::Batch => 2,
    };
    let mut out = vec![era, shape];
    for text in [&message.id, &message.method] {
        let text = text.as_deref().unwrap_or_default();
        // They are no longer than half a kilobyte.
        out.extend_from_slice(&(text.len() as u16).to_be_bytes());
        out.extend_from_slice(text.as_bytes());
    }
    out
}

/// The call that was encoded; `None`: it was not.
pub(super) fn revive(bytes: &[u8]) -> Option<Arc<dyn Exchange>> {
    let (era, rest) = bytes.split_first()?;
    let call = Call::new(match era {
        0 => Era::Resumable,
        1 => Era::Primed,
        2 => Era::Gone,
        _ => return None,
    });
    if let Some((shape, mut rest)) = rest.split_first() {
        let shape = match shape {
            0 => Shape::Unknown,
            1 => Shape::Single,
            2 => Shape::Batch,
            _ => return None,
        };
        let mut text = || take_text(&mut rest);
        let (id, method) = (text()?, text()?);
        let there = |text: Box<str>| Some(text).filter(|text| !text.is_empty());
        let (id, method) = (there(id), there(method));
        call.learn(Message { shape, method, id, ..Message::default() });
    }
    Some(Arc::new(call))
}

/// What is not there is empty: no ID is, and no method that counts.
fn take_text(rest: &mut &[u8]) -> Option<Box<str>> {
    let (len, after) = rest.split_first_chunk()?;
    let (text, after) = after.split_at_checked(u16::from_be_bytes(*len).into())?;
    *rest = after;
    Some(std::str::from_utf8(text).ok()?.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_the_same_elsewhere() {
        let call = Call::new(Era::Primed);
        call.learn(Message {
            shape: Shape::Single,
            id: Some(r#""a-1""#.into()),
            method: Some("tools/call".into()),
            ..Message::default()
        });
        let revived = revive(&encode(&call)).unwrap();
        assert_eq!(revived.name(), Some(r#""a-1""#));
        assert_eq!(revived.primer(), call.primer());
        assert_eq!(revived.is_answered(&[]), Some(false));
        let standalone = revive(&encode(&Call::new(Era::Resumable))).unwrap();
        assert_eq!((standalone.name(), standalone.is_answered(&[])), (None, None));
    }

    #[test]
    fn what_was_cut_off_is_no_call() {
        let call = Call::new(Era::Primed);
        call.learn(Message { id: Some("1".into()), ..Message::default() });
        let bytes = encode(&call);
        assert!((2..bytes.len()).all(|len| revive(&bytes[..len]).is_none()));
        assert!(revive(b"").is_none() && revive(&[7]).is_none());
    }
}
