//! Entities by the names that people give them: ours, Intuit's, Spanish ones, several at once, all.

use crate::domain::entity::{ENTITIES, EntitySpec};
use crate::domain::excerpt::{MAX_SHOWN, excerpt};
use crate::domain::guess::{closest, folded};
use crate::error::{Error, Result};

/// The words that stand for every entity.
const ALL: [&str; 4] = ["all", "todas", "todos", "todo"];

/// Finds an entity by our name, QBO's, or a Spanish one, in any case, with or without accents and
/// underscores.
///
/// # Errors
/// [`Error::Config`] with the nearest name.
pub fn find_entity(name: &str) -> Result<&'static EntitySpec> {
    if is_all(name) || name.contains(',') {
        let reason = format!(
            "'{}' stands for several entities, and one entity is wanted here",
            excerpt(name.trim(), MAX_SHOWN)
        );
        return Err(Error::config("entity", reason));
    }
    let wanted = folded(name);
    let found = ENTITIES.iter().find(|entity| is_called(entity, &wanted));
    found.ok_or_else(|| unknown(name))
}

fn is_all(name: &str) -> bool {
    ALL.contains(&folded(name).as_str())
}

fn is_called(entity: &EntitySpec, wanted: &str) -> bool {
    let is_spanish = |name: &&str| {
        let name = folded(name);
        // The singular too: factura, proveedor.
        let ending = name.strip_prefix(wanted);
        ending.is_some_and(|ending| matches!(ending, "" | "s" | "es"))
    };
    !wanted.is_empty()
        && (folded(entity.name) == wanted
            || folded(entity.qbo_name) == wanted
            || entity.spanish.iter().any(is_spanish))
}

fn unknown(name: &str) -> Error {
    let known = ENTITIES.iter().flat_map(|entity| {
        let names = [entity.name, entity.qbo_name];
        names.into_iter().chain(entity.spanish.iter().copied())
    });
    let shown = excerpt(name.trim(), MAX_SHOWN);
    let count = ENTITIES.len();
    let meant = closest(name, known).map(|guess| (guess, find_entity(guess)));
    let reason = match meant {
        Some((guess, Ok(entity))) if entity.spanish.contains(&guess) => format!(
            "unknown entity '{shown}'; did you mean '{guess}' ({})? (all {count}: qbo-rs entities)",
            entity.name
        ),
        Some((_, Ok(entity))) => format!(
            "unknown entity '{shown}'; did you mean '{}'? (all {count}: qbo-rs entities)",
            entity.name
        ),
        _ => format!("unknown entity '{shown}'; all {count} are listed by: qbo-rs entities"),
    };
    Error::config("entity", reason)
}

/// Finds several entities, in the order of `names`, each once. A name may be a list with commas, or
/// `all`.
///
/// # Errors
/// [`Error::Config`] if a name is unknown or `names` is empty.
pub fn select_entities<S: AsRef<str>>(names: &[S]) -> Result<Vec<EntitySpec>> {
    select(names, |_| true)
}

/// Finds several entities; `all` are those that `is_wanted`.
fn select<S: AsRef<str>>(
    names: &[S],
    is_wanted: fn(&EntitySpec) -> bool,
) -> Result<Vec<EntitySpec>> {
    let mut selected: Vec<EntitySpec> = Vec::new();
    let mut add = |spec: &EntitySpec| {
        if !selected.contains(spec) {
            selected.push(*spec);
        }
    };
    let names = names.iter().flat_map(|names| names.as_ref().split(','));
    for name in names.filter(|name| !name.trim().is_empty()) {
        match is_all(name) {
            true => ENTITIES
                .iter()
                .filter(|spec| is_wanted(spec))
                .for_each(&mut add),
            false => add(find_entity(name)?),
        }
    }
    if selected.is_empty() {
        return Err(Error::config("entity", "no entity was named"));
    }
    Ok(selected)
}

/// Finds the entities of files or tables, which have our names exactly.
///
/// # Errors
/// [`Error::Config`] if a name is not one of ours.
pub(crate) fn select_stored<S: AsRef<str>>(names: &[S]) -> Result<Vec<EntitySpec>> {
    let by_name = |name: &S| {
        let is_it = |entity: &&EntitySpec| entity.name == name.as_ref();
        let found = ENTITIES.iter().find(is_it);
        found.copied().ok_or_else(|| unknown(name.as_ref()))
    };
    match names {
        [] => Err(Error::config("entity", "no entity was named")),
        names => names.iter().map(by_name).collect(),
    }
}

/// Returns whether syncs read an entity once a day, and not each time.
pub(crate) fn is_read_daily(name: &str) -> bool {
    find_entity(name).is_ok_and(|entity| entity.is_read_whole)
}

fn is_readable(entity: &EntitySpec) -> bool {
    entity.has_query || entity.is_read_whole
}

/// Returns whether a range of an entity's records can be compared.
pub(crate) fn is_comparable(entity: &EntitySpec) -> bool {
    entity.has_query
}

/// Finds several entities like [`select_entities`], to read a range of their records.
///
/// # Errors
/// The errors of [`select_entities`]; [`Error::Config`] if only the changes of an entity's last days
/// can be read.
pub fn select_readable<S: AsRef<str>>(names: &[S]) -> Result<Vec<EntitySpec>> {
    let entities = select(names, is_readable)?;
    match entities.iter().find(|entity| !is_readable(entity)) {
        Some(EntitySpec { name, .. }) => Err(Error::config(
            "entity",
            format!(
                "QuickBooks answers no queries about {name}, so no range of them can be read; only `sync` copies them, \
                 from what QuickBooks reports as changed"
            ),
        )),
        None => Ok(entities),
    }
}

/// Finds several entities like [`select_readable`], to compare a range of their records.
///
/// # Errors
/// The errors of [`select_readable`]; [`Error::Config`] if the records of an entity do not say when
/// they were changed, so that no range of them can be compared.
pub fn select_comparable<S: AsRef<str>>(names: &[S]) -> Result<Vec<EntitySpec>> {
    let entities = select(names, is_comparable)?;
    select_readable(
        &entities
            .iter()
            .map(|entity| entity.name)
            .collect::<Vec<_>>(),
    )?;
    match entities.iter().find(|entity| entity.is_read_whole) {
        Some(EntitySpec { name, .. }) => Err(Error::config(
            "entity",
            format!(
                "QuickBooks does not say when {name} were changed, so no range of them can be compared; `sync {name}` \
                 reads all of them and reports what differed"
            ),
        )),
        None => Ok(entities),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    fn names(entities: &[EntitySpec]) -> Vec<&'static str> {
        entities.iter().map(|entity| entity.name).collect()
    }

    #[test]
    fn every_spelling_finds_its_entity() {
        for (name, entity) in [
            ("Invoice", "invoices"),
            ("INVOICES", "invoices"),
            ("invoice", "invoices"),
            ("facturas", "invoices"),
            ("Factura", "invoices"),
            ("artículos", "items"),
            ("articulo", "items"),
            ("ARTÍCULOS", "items"),
            ("proveedor", "vendors"),
            ("clientes", "customers"),
            ("pagos", "payments"),
            ("bill-payments", "bill_payments"),
            ("BillPayment", "bill_payments"),
            ("notas de crédito", "credit_memos"),
            (" cuentas ", "accounts"),
        ] {
            assert_eq!(find_entity(name).unwrap().name, entity, "{name}");
        }
    }

    #[test]
    fn no_name_means_two_entities_and_each_has_a_spanish_one() {
        let mut owners: HashMap<String, &str> = HashMap::new();
        for entity in ENTITIES {
            assert!(!entity.spanish.is_empty(), "{}", entity.name);
            let all = [entity.name, entity.qbo_name].into_iter();
            for name in all.chain(entity.spanish.iter().copied()) {
                assert!(!is_all(name), "{name}");
                let found: Vec<_> = ENTITIES
                    .iter()
                    .filter(|entity| is_called(entity, &folded(name)))
                    .collect();
                assert_eq!(found.len(), 1, "{name}");
                let owner = owners.insert(folded(name), entity.name);
                assert!(
                    owner.is_none_or(|owner| owner == entity.name),
                    "{name}: {owner:?}"
                );
            }
        }
    }

    #[test]
    fn an_unknown_name_is_answered_by_a_guess_and_no_list() {
        for (name, guess) in [
            ("invocies", "did you mean 'invoices'?"),
            ("custmers", "did you mean 'customers'?"),
            ("Invioce", "did you mean 'invoices'?"),
            ("facuras", "did you mean 'facturas' (invoices)?"),
            ("horses and carts", "qbo-rs entities"),
            ("", "qbo-rs entities"),
        ] {
            let text = find_entity(name).unwrap_err().to_string();
            assert!(text.contains(guess), "{text}");
            assert!(text.len() < 130, "{text}");
        }
        let long = find_entity(&"x".repeat(5000)).unwrap_err().to_string();
        assert!(long.len() < 400, "{long}");
    }

    #[test]
    fn names_are_taken_apart_at_commas_and_each_entity_once() {
        let selected = select_entities(&["items", "Item,customers", "facturas, clientes,"]);
        assert_eq!(
            names(&selected.unwrap()),
            ["items", "customers", "invoices"]
        );
        assert!(select_entities(&["customers,itms"]).is_err());
        for none in [&[][..], &[""], &[" , "]] {
            let text = select_entities(none).unwrap_err().to_string();
            assert!(text.contains("no entity was named"), "{text}");
        }
    }

    #[test]
    fn all_is_every_entity_that_the_command_can_read() {
        let count = |is_wanted: fn(&EntitySpec) -> bool| {
            ENTITIES.iter().filter(|entity| is_wanted(entity)).count()
        };
        assert_eq!(select_entities(&["ALL"]).unwrap().len(), ENTITIES.len());
        let readable = select_readable(&["invoices", "all"]).unwrap();
        assert_eq!(readable.len(), count(is_readable));
        assert_eq!(readable[0].name, "invoices");
        assert_eq!(
            select_comparable(&["todas"]).unwrap().len(),
            count(is_comparable)
        );
        assert!(count(is_comparable) < count(is_readable));
        for several in ["all", "customers,items"] {
            let text = find_entity(several).unwrap_err().to_string();
            assert!(text.contains("one entity is wanted here"), "{text}");
        }
    }

    #[test]
    fn what_is_stored_has_our_names_exactly() {
        assert_eq!(names(&select_stored(&["items"]).unwrap()), ["items"]);
        for name in ["Item", "articulos", "all", "items,customers"] {
            assert!(select_stored(&[name]).is_err(), "{name}");
        }
    }

    #[test]
    fn a_range_of_an_entity_without_queries_is_refused() {
        assert_eq!(
            select_readable(&["items", "entitlements"]).unwrap().len(),
            2
        );
        let text = select_readable(&["items", "ChangeOrder"])
            .unwrap_err()
            .to_string();
        assert!(
            text.contains("change_orders") && text.contains("`sync`"),
            "{text}"
        );
    }

    #[test]
    fn a_range_of_an_entity_without_times_is_read_and_not_compared() {
        assert_eq!(select_comparable(&["items"]).unwrap().len(), 1);
        for name in ["tax_classifications", "Entitlements"] {
            assert!(select_readable(&[name]).is_ok());
            let text = select_comparable(&["items", name]).unwrap_err().to_string();
            assert!(text.contains("when") && text.contains("`sync "), "{text}");
        }
    }
}
