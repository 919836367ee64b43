//! `--preset mcp`.

use tower_layer::Layer;
use tower_sse_resume::SseResumeLayer;

use crate::{
    BoxError, args::Args, descriptors::Descriptors, listen, resumable, store, upstream::Upstream,
};

/// Runs the proxy in front of an MCP server.
pub(crate) async fn run(args: &Args) -> Result<(), BoxError> {
    if args.reconnect_upstream {
        return Err("--reconnect-upstream is not for --preset mcp, which goes on by itself".into());
    }
    let persistence = store::open(args).await?;
    let descriptors = Descriptors::raised();
    let layer = SseResumeLayer::mcp()
        .configure(|layer| resumable::configured(layer, args, descriptors, persistence));
    let upstream = Upstream::new(args.upstream.clone())?;
    listen(args, layer.layer(upstream), &layer.handle(), descriptors).await
}
