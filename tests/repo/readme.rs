//! The README keeps up with what can be configured.

use std::fs;
use std::path::Path;

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// The names of the public methods in a source file that take `self` and give it back.
fn knobs(source: &str) -> Vec<String> {
    let source = read(source);
    let methods = source.split("    pub ").filter_map(|item| item.split_once("fn "));
    let signatures = methods.filter_map(|(_, method)| Some(method.split_once('{')?.0));
    let knobs = signatures.filter(|signature| {
        signature.contains("self") && !signature.contains("&self") && signature.contains("Self")
    });
    knobs.filter_map(|knob| Some(knob.split_once(['(', '<'])?.0.to_owned())).collect()
}

#[test]
fn every_method_that_configures_is_in_the_readme() {
    let readme = read("README.md");
    let knobs: Vec<_> = [
        "src/layer.rs",
        "src/layer/metrics.rs",
        "src/mcp/layer.rs",
        "src/layer/tracing.rs",
        "src/config.rs",
        "src/persistence.rs",
        "src/reconnect.rs",
        "src/resume/retention.rs",
        "src/sessions.rs",
    ]
    .into_iter()
    .flat_map(knobs)
    .collect();
    assert!(knobs.len() > 40, "the methods were not found: {knobs:?}");
    for name in knobs {
        assert!(readme.contains(&format!("`{name}(")), "README.md does not say what `{name}` is");
    }
}

#[test]
fn every_part_of_the_readme_that_is_linked_to_is_there() {
    let readme = read("README.md");
    let headings: Vec<String> = readme
        .lines()
        .filter_map(|line| line.strip_prefix("## "))
        .map(|heading| heading.to_lowercase().replace(' ', "-"))
        .collect();
    for link in readme.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
        if let Some(heading) = link.strip_prefix('#') {
            assert!(headings.iter().any(|known| known == heading), "no heading for {link}");
        } else if !link.starts_with("https://") {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(link);
            assert!(path.exists(), "no file for {link}");
        }
    }
}
