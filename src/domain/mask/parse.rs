//! Reads the settings: `Employee.SSN,Customer.PrimaryTaxIdentifier:hash`.

use super::{Action, Hasher, Mask, Node, entity_named};
use crate::domain::fields::{FieldTable, FieldType, fields};
use crate::domain::shape::{Kind, ShapeId, Shapes};
use crate::domain::{ENTITIES, EntitySpec, Identity};
use crate::error::{Error, Result};

/// The setting of the rules.
pub(crate) const RULES: &str = "QBO_MASK";
/// The setting of the key.
pub(crate) const KEY: &str = "QBO_MASK_KEY";

/// Characters of the shortest key. A tax number has so few digits that all of them can be tried: the
/// key is all that protects the hash.
const MIN_KEY: usize = 32;

/// Members that give a record its identity, version and place, and say that it was deleted.
const NEEDED: [&str; 6] = ["Id", "SyncToken", "MetaData", "domain", "sparse", "status"];

const TEMPLATES: &str = "RecurringTransaction";
const LINE: &str = "Line";
const GROUP: &str = "GroupLineDetail";

/// One rule.
#[derive(Debug)]
pub(super) struct Rule {
    pub entity: EntitySpec,
    /// Path within the entity, as the user wrote it.
    pub text: String,
    pub action: Action,
    /// Kinds of templates of recurring transactions hold the entity.
    in_templates: bool,
}

impl Rule {
    pub(super) fn applies_to(&self, entity: &EntitySpec) -> bool {
        self.entity == *entity || (self.in_templates && entity.qbo_name == TEMPLATES)
    }
}

/// A path, cut into the names of its members.
struct Path<'t> {
    members: Vec<&'t str>,
    /// Name of the custom field in brackets.
    custom: Option<&'t str>,
}

fn wrong(reason: impl Into<String>) -> Error {
    Error::config(RULES, reason)
}

impl Mask {
    /// Reads the rules, separated by commas, and checks them against the table of fields.
    ///
    /// # Errors
    /// [`Error::Config`] that names the rule, and what has a similar name: an entity or property that
    /// is not known, one that the copy needs, a hash of something that is no text, a hash without a
    /// key, a key that is too short.
    pub fn parse(rules: &str, key: Option<&str>) -> Result<Self> {
        let table = fields()?;
        let mut mask = Self::default();
        let mut parsed = Vec::new();
        for text in rules.split(',').map(str::trim) {
            if !text.is_empty() {
                parsed.push(mask.add_rule(table, text)?);
            }
        }
        mask.hasher = match (key, parsed.iter().find(|rule| rule.action == Action::Hash)) {
            (Some(key), _) if key.chars().count() < MIN_KEY => {
                let reason = format!(
                    "has less than {MIN_KEY} characters; make one with `openssl rand -base64 32`"
                );
                return Err(Error::config(KEY, reason));
            }
            (Some(key), _) => Some(Hasher::new(key.as_bytes())),
            (None, Some(rule)) => {
                let reason = format!(
                    "not set, and {RULES} asks for a hash of {}.{}; make one with `openssl rand -base64 32`",
                    rule.entity.qbo_name, rule.text
                );
                return Err(Error::config(KEY, reason));
            }
            (None, None) => None,
        };
        mask.complete(&parsed);
        Ok(mask)
    }

    fn add_rule(&mut self, table: &FieldTable, rule: &str) -> Result<Rule> {
        let (place, action) = match rule.rsplit_once(':') {
            Some((place, "hash")) => (place.trim(), Action::Hash),
            Some((place, "drop")) => (place.trim(), Action::Drop),
            Some((_, other)) if !other.contains(']') => {
                return Err(wrong(format!(
                    "'{rule}': '{other}' is neither drop nor hash"
                )));
            }
            _ => (rule, Action::Drop),
        };
        let Some((entity, path)) = place.split_once('.') else {
            return Err(wrong(format!(
                "'{rule}' is not an entity and a property, such as Employee.SSN"
            )));
        };
        let entity = entity_named(entity).ok_or_else(|| unknown_entity(rule, entity))?;
        if table.of(entity.qbo_name).is_empty() || entity.qbo_name == "Entitlements" {
            return Err(wrong(format!(
                "'{rule}': {} cannot be masked",
                entity.qbo_name
            )));
        }
        let parts = Path::parse(path).ok_or_else(|| wrong(format!("'{rule}' is no path")))?;
        check(table, entity, rule, &parts, action)?;
        let in_templates = table
            .field("RecurringTransaction.Template", entity.qbo_name)
            .is_some();
        let rule = Rule {
            entity,
            text: path.trim().to_owned(),
            action,
            in_templates,
        };
        self.add_path(entity, &parts, action, &[]);
        if let Some(templates) = entity_named(TEMPLATES).filter(|_| in_templates) {
            self.add_path(templates, &parts, action, &[entity.qbo_name]);
        }
        Ok(rule)
    }

    /// Adds a path below `outer`. What is masked in lines is masked in the lines of groups, too.
    fn add_path(&mut self, entity: EntitySpec, path: &Path<'_>, action: Action, outer: &[&str]) {
        let apply = |node: &mut Node| match path.custom {
            Some(name) => node.custom.push((name.to_owned(), action)),
            None if node.action != Some(Action::Drop) => node.action = Some(action),
            None => {}
        };
        let whole = [outer, &path.members].concat();
        self.add(entity, &whole, apply);
        if let Some(line) = whole.iter().position(|name| *name == LINE) {
            let (before, after) = whole.split_at(line + 1);
            if !after.is_empty() && after.first() != Some(&GROUP) {
                self.add(entity, &[before, &[GROUP, LINE], after].concat(), apply);
            }
        }
    }
}

impl<'t> Path<'t> {
    fn parse(text: &'t str) -> Option<Self> {
        let text = text.trim();
        let (path, custom) = match text.strip_suffix(']') {
            Some(text) => {
                let (path, name) = text.split_once('[')?;
                (path, Some(name))
            }
            None => (text, None),
        };
        let members: Vec<&str> = path.split('.').collect();
        let is_list_of_fields = members.last() == Some(&"CustomField");
        let is_fine = custom.is_none_or(|name| is_list_of_fields && !name.is_empty());
        is_fine.then_some(Self { members, custom })
    }
}

/// Checks a path against the table.
fn check(
    table: &FieldTable,
    entity: EntitySpec,
    rule: &str,
    path: &Path<'_>,
    action: Action,
) -> Result<()> {
    let shapes = Shapes::of(table, entity.qbo_name);
    let first = path.members.first().copied().unwrap_or_default();
    let is_key = match entity.identity {
        Identity::Properties(names) => names.contains(&first),
        // The member that holds the template.
        Identity::Wrapped => path.members.len() == 1,
        _ => false,
    };
    let inner = match entity.identity {
        Identity::Wrapped => path.members.get(1).copied().unwrap_or_default(),
        _ => first,
    };
    if is_key || NEEDED.contains(&first) || NEEDED.contains(&inner) {
        return Err(wrong(format!(
            "'{rule}' cannot be masked: records are told apart, ordered and compared by it"
        )));
    }
    let mut kind = Kind::Object(Shapes::ROOT);
    for name in &path.members {
        kind = match kind {
            Kind::Object(id) | Kind::List(id) => match shapes.member(id, name) {
                Some(member) => member.kind,
                None => return Err(unknown_property(rule, &shapes, id, name)),
            },
            Kind::Json => Kind::Json,
            Kind::Scalar(_) => {
                return Err(wrong(format!(
                    "'{rule}': nothing is inside of what is before '{name}'"
                )));
            }
        };
    }
    let is_text = matches!(kind, Kind::Scalar(FieldType::Text)) || path.custom.is_some();
    match action {
        Action::Hash if !is_text => Err(wrong(format!(
            "'{rule}': only a text can be replaced by a hash, and this is none; leave out ':hash' to remove it"
        ))),
        _ => Ok(()),
    }
}

fn unknown_entity(rule: &str, name: &str) -> Error {
    let known: Vec<&str> = ENTITIES.iter().map(|spec| spec.qbo_name).collect();
    wrong(format!(
        "'{rule}': there is no entity '{name}'; {}",
        near(name, &known)
    ))
}

fn unknown_property(rule: &str, shapes: &Shapes, shape: ShapeId, name: &str) -> Error {
    let Some(shape) = shapes.get(shape) else {
        return wrong(format!("'{rule}': no property '{name}' is known"));
    };
    let known: Vec<&str> = shape.members.iter().map(|member| member.name).collect();
    wrong(format!(
        "'{rule}': {} has no property '{name}'; {}",
        shape.model,
        near(name, &known)
    ))
}

/// Names the most similar ones.
fn near(name: &str, known: &[&str]) -> String {
    let mut near: Vec<(usize, &str)> = known
        .iter()
        .map(|other| (distance(name, other), *other))
        .collect();
    near.sort_unstable();
    let near: Vec<&str> = near.iter().take(4).map(|(_, name)| *name).collect();
    format!("similar: {}", near.join(", "))
}

/// Number of letters by which two names differ, whatever their case. A part of a name is near to it.
fn distance(a: &str, b: &str) -> usize {
    let (a, b) = (a.to_ascii_lowercase(), b.to_ascii_lowercase());
    if a == b {
        return 0;
    }
    if a.len() > 2 && (a.contains(&b) || b.contains(&a)) {
        return 1;
    }
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, letter) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, other) in b.iter().enumerate() {
            let cost = diagonal + usize::from(letter != *other);
            diagonal = row[j + 1];
            row[j + 1] = cost.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
