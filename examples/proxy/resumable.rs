//! The layer as the command line wants it.

use http::request::Parts;
use tower_sse_resume::{
    EventIds, Linger, OnFinished, OnMissing, Persistence, Retention, SseResumeLayer,
};

use crate::args::Args;
use crate::choices;
use crate::descriptors::Descriptors;

/// `layer` with the options that were given.
pub(crate) fn configured(
    layer: SseResumeLayer,
    args: &Args,
    descriptors: Descriptors,
    persistence: Option<Persistence>,
) -> SseResumeLayer {
    let retention = Retention::new().events(args.events as u64).bytes(args.bytes).age(args.age);
    let mut layer = layer.retention(retention).limits(descriptors.limits(args));
    if let Some(linger) = args.linger {
        layer = layer.linger(Linger::from(linger));
    }
    if let Some(methods) = &args.methods {
        layer = layer.methods(methods.iter().cloned());
    }
    if let Some(ids) = args.ids {
        layer = layer.event_ids(match ids {
            choices::Ids::Assign => EventIds::Assign,
            choices::Ids::Preserve => EventIds::Preserve,
        });
    }
    if let Some(on_missing) = args.on_missing {
        layer = layer.on_missing(match on_missing {
            choices::OnMissing::Signal => OnMissing::Signal,
            choices::OnMissing::Reject => OnMissing::Reject,
        });
    }
    if let Some(on_finished) = args.on_finished {
        layer = layer.on_finished(match on_finished {
            choices::OnFinished::Forward => OnFinished::Forward,
            choices::OnFinished::NoContent => OnFinished::NoContent,
        });
    }
    if let Some(secret) = &args.secret_file {
        layer = layer.secret(secret.0);
    }
    if let Some(persistence) = persistence {
        layer = layer.store(persistence);
    }
    if let Some(age) = args.max_connection_age {
        layer = layer.max_connection_age(age);
    }
    if let Some(name) = &args.last_event_id_query {
        layer = layer.last_event_id_query(name);
    }
    if let Some(name) = &args.session_header {
        layer = layer.session_header(name.clone());
    }
    if let Some(name) = &args.owner_header {
        layer = layer.owner_header(name.clone());
    }
    if let Some(name) = &args.owner_cookie {
        layer = layer.owner_cookie(name);
    }
    match args.share {
        None => layer,
        Some(choices::Share::Path) => layer.share(path_and_query),
    }
}

fn path_and_query(parts: &Parts) -> Option<String> {
    Some(parts.uri.path_and_query()?.to_string())
}
