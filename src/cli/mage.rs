//! `qbo-rs mage`: pipelines for a Mage project.

use std::path::Path;

use super::args::MageCommand;
use super::exit::{ExitCode, Outcome};
use super::output::Printer;
use crate::domain::find_entity;
use crate::error::{Error, Result};

/// The pipeline that others are made from, and its blocks; in every one of them only the entity
/// differs.
const PIPELINE: [(&str, &str); 5] = [
    (
        "pipelines/qb_customers_backfill/metadata.yaml",
        include_str!("../../mage_project/pipelines/qb_customers_backfill/metadata.yaml"),
    ),
    (
        "pipelines/qb_customers_backfill/triggers.yaml",
        include_str!("../../mage_project/pipelines/qb_customers_backfill/triggers.yaml"),
    ),
    (
        "data_loaders/chunk_fecha_customers.py",
        include_str!("../../mage_project/data_loaders/chunk_fecha_customers.py"),
    ),
    (
        "data_loaders/extract_qbo_customers.py",
        include_str!("../../mage_project/data_loaders/extract_qbo_customers.py"),
    ),
    (
        "data_exporters/load_postgres_customers.py",
        include_str!("../../mage_project/data_exporters/load_postgres_customers.py"),
    ),
];
const TEMPLATE_ENTITY: &str = "customers";
/// The callback that all pipelines share; an existing one is left unchanged.
const CALLBACK: (&str, &str) = (
    "callbacks/disable_once_trigger.py",
    include_str!("../../mage_project/callbacks/disable_once_trigger.py"),
);

/// Runs the subcommand.
pub(super) fn run(command: &MageCommand, printer: Printer) -> Outcome {
    let MageCommand::NewPipeline { entity, project } = command;
    let written = new_pipeline(find_entity(entity)?.name, project)?;
    printer.print_translated(&written, || {
        written.iter().map(|file| format!("{file}\n")).collect()
    })?;
    Ok(ExitCode::Done)
}

/// Writes the pipeline of an entity; returns the files, relative to the project.
fn new_pipeline(entity: &str, project: &Path) -> Result<Vec<String>> {
    if !project.join("metadata.yaml").is_file() {
        let reason = format!(
            "'{}' is no Mage project: it has no metadata.yaml",
            project.display()
        );
        return Err(Error::config("project", reason));
    }
    let mut files: Vec<(String, String)> = PIPELINE
        .iter()
        .map(|(path, text)| {
            (
                path.replace(TEMPLATE_ENTITY, entity),
                text.replace(TEMPLATE_ENTITY, entity),
            )
        })
        .collect();
    // Before anything is written: a pipeline that somebody has changed is not written over.
    if let Some((path, _)) = files.iter().find(|(path, _)| project.join(path).exists()) {
        return Err(Error::config(
            "entity",
            format!("'{}' exists", project.join(path).display()),
        ));
    }
    if !project.join(CALLBACK.0).exists() {
        files.push((CALLBACK.0.to_owned(), CALLBACK.1.to_owned()));
    }
    for (path, text) in &files {
        let path = project.join(path);
        let failed =
            |e: std::io::Error| Error::config("project", format!("'{}': {e}", path.display()));
        std::fs::create_dir_all(path.parent().unwrap_or(project)).map_err(failed)?;
        std::fs::write(&path, text).map_err(failed)?;
    }
    Ok(files.into_iter().map(|(path, _)| path).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(path: &Path) -> String {
        std::fs::read_to_string(path).unwrap()
    }

    #[test]
    fn the_pipelines_of_the_project_are_what_the_command_writes() {
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("mage_project");
        for entity in ["customers", "invoices", "items"] {
            let project = tempfile::tempdir().unwrap();
            std::fs::write(project.path().join("metadata.yaml"), "").unwrap();
            for file in new_pipeline(entity, project.path()).unwrap() {
                // The one name that users have known in the singular.
                let written = read(&project.path().join(&file))
                    .replace("invoices_trigger", "invoice_trigger");
                assert_eq!(written, read(&shipped.join(&file)), "{file}");
            }
        }
    }

    #[test]
    fn nothing_is_written_over_or_outside_of_a_project() {
        let project = tempfile::tempdir().unwrap();
        assert!(
            new_pipeline("vendors", project.path())
                .unwrap_err()
                .to_string()
                .contains("is no Mage project")
        );
        std::fs::write(project.path().join("metadata.yaml"), "").unwrap();
        let block = project.path().join("data_loaders/extract_qbo_vendors.py");
        std::fs::create_dir_all(block.parent().unwrap()).unwrap();
        std::fs::write(&block, "mine").unwrap();
        assert!(
            new_pipeline("vendors", project.path())
                .unwrap_err()
                .to_string()
                .contains("exists")
        );
        assert_eq!(read(&block), "mine");
        assert!(!project.path().join("pipelines").exists());
    }
}
