//! The shape of an entity's records by the table of fields: which members an object may have, and of
//! which type each is. Models that mean different things in different entities, such as lines, are
//! resolved.

use std::collections::HashMap;

use super::drift::words;
use super::fields::{FieldTable, FieldType};

/// Name and place in [`Shapes`] of an object's shape.
pub(crate) type ShapeId = usize;

/// The content of a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A single value.
    Scalar(FieldType),
    /// An object.
    Object(ShapeId),
    /// An array of objects; Intuit writes a single one without the array at times.
    List(ShapeId),
    /// Anything: the table does not say what is inside.
    Json,
}

/// A member of an object.
#[derive(Debug)]
pub(crate) struct Member {
    /// Its name.
    pub name: &'static str,
    /// Its content.
    pub kind: Kind,
    /// The words that it can be, if it is an enumeration of which all are known.
    pub words: &'static [&'static str],
    /// The name as it stands before the value in JSON without blanks.
    pub quoted: Box<[u8]>,
}

impl Member {
    fn of(name: &'static str, kind: Kind, words: &'static [&'static str]) -> Self {
        Self {
            name,
            kind,
            words,
            quoted: format!("\"{name}\":").into_bytes().into(),
        }
    }
}

/// The members that an object may have.
#[derive(Debug)]
pub(crate) struct Shape {
    /// Name of the model in the table.
    pub model: &'static str,
    /// Its members.
    pub members: Vec<Member>,
}

/// The shapes of one entity's records.
#[derive(Debug)]
pub(crate) struct Shapes {
    shapes: Vec<Shape>,
    known: HashMap<(&'static str, &'static str), ShapeId>,
}

/// Model of a reference whose kind its member says.
const REFERENCE: &str = "reference";
const LINE: &str = "Line";
const RECURRING: &str = "RecurringTransaction";
const TEMPLATE: &str = "RecurringTransaction.Template";

impl Shapes {
    /// Returns the shapes of an entity, by its name in QuickBooks. That of the record is the first.
    pub(crate) fn of(table: &FieldTable, entity: &'static str) -> Self {
        let mut shapes = Self {
            shapes: Vec::new(),
            known: HashMap::new(),
        };
        shapes.add_record(table, entity);
        shapes
    }

    /// The shape of the record itself.
    pub(crate) const ROOT: ShapeId = 0;

    /// Returns a shape.
    #[inline]
    pub(crate) fn get(&self, id: ShapeId) -> Option<&Shape> {
        self.shapes.get(id)
    }

    /// Returns all shapes.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Shape> {
        self.shapes.iter()
    }

    /// Returns the member of a name.
    pub(crate) fn member(&self, id: ShapeId, name: &str) -> Option<&Member> {
        self.get(id)?
            .members
            .iter()
            .find(|member| member.name == name)
    }

    fn add_record(&mut self, table: &FieldTable, entity: &'static str) {
        let (models, templates): (&[&'static str], _) = match entity {
            RECURRING => (&["Record", TEMPLATE], true),
            _ => (&[entity, "Record"], false),
        };
        // The record has a row before its members, so that it is the first.
        let root = self.begin(entity, entity);
        let mut members = Vec::new();
        for model in models {
            for field in table.of(model) {
                let kind = match (templates, field.of) {
                    (true, Some(of)) => Kind::Object(self.add_template(table, of)),
                    _ => self.kind(table, field.field_type, field.of, entity),
                };
                members.push(Member::of(field.path, kind, words(model, field.path)));
            }
        }
        self.end(root, members);
    }

    /// Adds the record inside a template: what its entity has, and what templates have.
    fn add_template(&mut self, table: &FieldTable, entity: &'static str) -> ShapeId {
        let id = self.begin(entity, TEMPLATE);
        let mut members: Vec<Member> = Vec::new();
        for (model, owner) in [(entity, entity), (RECURRING, entity), ("Record", entity)] {
            for field in table.of(model) {
                if members.iter().all(|known| known.name != field.path) {
                    let kind = self.kind(table, field.field_type, field.of, owner);
                    members.push(Member::of(field.path, kind, words(model, field.path)));
                }
            }
        }
        self.end(id, members);
        id
    }

    fn kind(
        &mut self,
        table: &FieldTable,
        field_type: FieldType,
        of: Option<&'static str>,
        owner: &'static str,
    ) -> Kind {
        match (field_type, of) {
            (FieldType::Reference, Some(of)) => Kind::Object(self.add(table, of, "")),
            (FieldType::Reference, None) => Kind::Object(self.add_reference()),
            (FieldType::Object, Some(of)) => Kind::Object(self.add(table, of, owner)),
            (FieldType::List, Some(of)) => Kind::List(self.add(table, of, owner)),
            (FieldType::Object | FieldType::List, None) => Kind::Json,
            (scalar, _) => Kind::Scalar(scalar),
        }
    }

    fn add_reference(&mut self) -> ShapeId {
        if let Some(id) = self.known.get(&(REFERENCE, "")) {
            return *id;
        }
        let id = self.begin(REFERENCE, "");
        let members = ["value", "name"];
        let members = members.map(|name| Member::of(name, Kind::Scalar(FieldType::Text), &[]));
        self.end(id, members.into());
        id
    }

    /// Adds a model inside the records of `owner`, whose lines decide what a line may have.
    fn add(&mut self, table: &FieldTable, model: &'static str, owner: &'static str) -> ShapeId {
        if let Some(id) = self.known.get(&(model, owner)) {
            return *id;
        }
        let id = self.begin(model, owner);
        let mut fields: Vec<_> = table.of(model).iter().collect();
        if model == LINE {
            let details = format!("{owner}.{LINE}");
            fields.extend(table.of(&details));
        }
        let mut members = Vec::with_capacity(fields.len());
        for field in fields {
            let kind = self.kind(table, field.field_type, field.of, owner);
            members.push(Member::of(field.path, kind, words(model, field.path)));
        }
        self.end(id, members);
        id
    }

    fn begin(&mut self, model: &'static str, owner: &'static str) -> ShapeId {
        let id = self.shapes.len();
        self.known.insert((model, owner), id);
        self.shapes.push(Shape {
            model,
            members: Vec::new(),
        });
        id
    }

    fn end(&mut self, id: ShapeId, members: Vec<Member>) {
        if let Some(shape) = self.shapes.get_mut(id) {
            shape.members = members;
        }
    }
}
