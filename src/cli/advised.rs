//! The commands that a status advises, each once however many entities it helps.

use std::collections::BTreeSet;

use crate::app::StatusReport;
use crate::app::health::fill;
use crate::domain::Finding;
use crate::language::say;

/// The verbs that take several entities at once, with which one command helps all of those.
const OF_ENTITIES: [&str; 2] = ["qbo-rs backfill ", "qbo-rs verify "];
/// The most entities that a command names. Beyond that a backfill names all, if all were asked for of its range: what
/// is committed is skipped. A comparison skips nothing.
const MAX_NAMED: usize = 5;

/// A command, and what it helps.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Advised {
    /// Entities, or the words for what is no entity.
    pub names: Vec<String>,
    pub command: String,
}

/// A command with the place for the entities that it is about.
#[derive(PartialEq, Eq)]
struct Form<'f> {
    verb: &'f str,
    rest: &'f str,
    takes_entities: bool,
}

impl<'f> Form<'f> {
    fn of(finding: &'f Finding) -> Option<Self> {
        let command = finding.command.as_deref()?;
        let taken = OF_ENTITIES.iter().find_map(|verb| {
            let rest = command.strip_prefix(verb)?.strip_prefix(&*finding.about)?;
            Some((*verb, rest))
        });
        Some(match taken {
            Some((verb, rest)) => Self {
                verb,
                rest,
                takes_entities: true,
            },
            None => Self {
                verb: command,
                rest: "",
                takes_entities: false,
            },
        })
    }
}

/// Returns the commands for all that needs somebody, those for the worst first.
pub(super) fn advised(report: &StatusReport, env_file_flag: &str) -> Vec<Advised> {
    let of_entities = report.entities.iter().flat_map(|entity| &entity.findings);
    let mut findings: Vec<&Finding> = report.findings.iter().chain(of_entities).collect();
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.level));
    let mut groups: Vec<(Form<'_>, Vec<&str>)> = Vec::new();
    for finding in findings {
        let Some(form) = Form::of(finding) else {
            continue;
        };
        let name = finding.about.as_str();
        match groups.iter_mut().find(|(known, _)| *known == form) {
            Some((_, names)) if names.contains(&name) => {}
            Some((_, names)) => names.push(name),
            None => groups.push((form, vec![name])),
        }
    }
    let groups = groups.into_iter();
    groups
        .map(|(form, names)| {
            let entities = match form.takes_entities {
                false => String::new(),
                true if names.len() > MAX_NAMED && was_asked_for_all(report, &names, &form) => {
                    "all".to_owned()
                }
                true => names.join(","),
            };
            Advised {
                command: format!("{}{entities}{}{env_file_flag}", form.verb, form.rest),
                names: names.into_iter().map(spoken).collect(),
            }
        })
        .collect()
}

/// Returns the number of those that the commands help.
pub(super) fn needing(commands: &[Advised]) -> usize {
    let names = commands.iter().flat_map(|one| &one.names);
    names.collect::<BTreeSet<_>>().len()
}

/// Returns true if a command about these entities goes on with one for all of them.
fn was_asked_for_all(report: &StatusReport, names: &[&str], form: &Form<'_>) -> bool {
    let runs = report
        .entities
        .iter()
        .filter(|entity| names.contains(&&*entity.entity));
    let mut asked =
        runs.filter_map(|entity| Some((&entity.entity, entity.last_run.as_ref()?.asked?)));
    asked.any(|(name, asked)| {
        let command = format!("{}{name}{}", form.verb, form.rest);
        asked.all && command.starts_with(&fill(name, asked, ""))
    })
}

fn spoken(name: &str) -> String {
    match name {
        "connection" => say!("connection"),
        "books" => say!("the books"),
        entity => entity.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use crate::cli::status_snapshots::{entity, report, run, shown};
    use crate::domain::{Asked, LedgerRunStatus, Window};

    /// Returns an entity whose run was killed.
    fn killed(name: &str, all: bool) -> crate::app::EntityStatus {
        let mut killed = entity(name, 3);
        let mut last = run(LedgerRunStatus::Interrupted, 90);
        last.asked = Some(Asked {
            range: Window::parse("2024-01-01", "2026-01-01").unwrap(),
            chunk: "month".parse().unwrap(),
            tz: "UTC".parse().unwrap(),
            all,
        });
        killed.last_run = Some(last);
        killed
    }

    fn different(name: &str, range: Window) -> crate::app::Different {
        crate::app::Different {
            realm_id: "9341".to_owned(),
            schema: "raw".to_owned(),
            entity: name.to_owned(),
            ranges: 1,
            range,
            found_at: crate::cli::status_snapshots::now(),
            is_deep: false,
        }
    }

    #[test]
    fn entities_of_one_command_are_ended_by_one() {
        let rest = "--start 2024-01-01 --end 2026-01-01 --chunk month --resume";
        let names = ["bills", "classes", "deposits", "items", "terms", "vendors"];
        for (count, all, named) in [
            (2, true, "bills,classes"),
            (6, true, "all"),
            (6, false, "bills,classes,deposits,items,terms,vendors"),
        ] {
            let entities = names[..count].iter().map(|name| killed(name, all));
            let text = shown(&mut report(entities.collect()), false);
            let line = format!("  {count} entities  qbo-rs backfill {named} {rest}\n");
            assert!(text.contains(&line), "{text}");
            assert!(text.contains(&format!("{count} need somebody:")), "{text}");
        }
    }

    #[test]
    fn a_command_that_skips_nothing_or_is_of_another_range_names_its_entities() {
        let names = ["bills", "classes", "deposits", "items", "terms", "vendors"];
        let named = names.join(",");
        let gap = Window::parse("2020-03-01", "2020-04-01").unwrap();
        // All of them have gaps before the range that was asked for.
        let with_gaps = names.map(|name| {
            let mut entity = killed(name, true);
            entity.gaps = vec![gap];
            entity
        });
        let text = shown(&mut report(with_gaps.into()), false);
        for line in [
            "qbo-rs backfill all --start 2024-01-01 --end 2026-01-01 --chunk month --resume\n",
            &format!("qbo-rs backfill {named} --start 2020-03-01 --end 2020-04-01 --resume\n"),
        ] {
            assert!(text.contains(line), "{text}");
        }
        let mut differing = report(names.map(|name| killed(name, true)).into());
        differing.differences = names.map(|name| different(name, gap)).into();
        let text = shown(&mut differing, false);
        let line = format!("qbo-rs verify {named} --start 2020-03-01 --end 2020-04-01 --repair\n");
        assert!(text.contains(&line), "{text}");
    }

    #[test]
    fn an_advised_range_has_whole_seconds_and_covers_what_differs() {
        let instant = |text: &str| text.parse().unwrap();
        let sliver = Window {
            start: instant("2026-11-30T04:33:26Z"),
            end: instant("2026-11-30T04:33:26.25Z"),
        };
        let mut late = entity("items", 3);
        late.gaps = vec![sliver];
        let mut report = report(vec![late]);
        report.differences = vec![different("bills", sliver)];
        let text = shown(&mut report, false);
        let range = "--start 2026-11-30T04:33:26Z --end 2026-11-30T04:33:27Z";
        for line in [
            format!("qbo-rs verify bills {range} --repair\n"),
            format!("qbo-rs backfill items {range} --resume\n"),
        ] {
            assert!(text.contains(&line), "{text}");
        }
    }

    #[test]
    fn the_gaps_that_a_command_reads_need_no_other_one() {
        let mut items = killed("items", false);
        items.gaps = vec![Window::parse("2024-03-01", "2024-04-01").unwrap()];
        let text = shown(&mut report(vec![items.clone()]), false);
        assert_eq!(text.matches("qbo-rs backfill").count(), 1, "{text}");
        assert!(text.contains("1 needs somebody:\n"), "{text}");
        // One outside of its range does.
        items.gaps = vec![Window::parse("2023-03-01", "2023-04-01").unwrap()];
        let text = shown(&mut report(vec![items]), false);
        assert_eq!(text.matches("qbo-rs backfill").count(), 2, "{text}");
        assert!(
            text.contains("1 needs somebody, by 2 commands:\n"),
            "{text}"
        );
    }
}
