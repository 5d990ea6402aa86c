//! The columns of an entity.

use std::sync::Arc;

use arrow_schema::{Fields, Schema, SchemaRef};

use super::draft::{Draft, Places};
use super::elements::Elements;
use super::properties::Property;
use super::shape::Shape;
use crate::domain::{ColumnType, EntitySpec, Identity, fields};
use crate::error::Result;

/// Model of what every record may have beside its own, which is of no use in a column.
const ANY_RECORD: &str = "Record";

/// The columns that are the same for every entity, in their order.
pub(super) const REALM_ID: usize = 0;
pub(super) const ID: usize = 1;
pub(super) const DELETED_AT: usize = 5;

/// The schema of an entity, and where its values come from.
///
/// It begins with `realm_id`, `id`, `sync_token`, `created_at`, `updated_at`, `deleted_at`; then
/// come the columns of the entity's SQL view, lists as JSON text; the last one is `extra`.
#[derive(Debug)]
pub struct EntityColumns {
    entity: EntitySpec,
    schema: SchemaRef,
    types: Vec<ColumnType>,
    record: Property,
    places: Places,
    elements: Option<Elements>,
}

impl EntityColumns {
    /// Returns the columns of an entity.
    ///
    /// # Errors
    /// [`Error::Internal`](crate::Error) if the field table cannot be read, which a test rules out.
    pub fn of(entity: &EntitySpec) -> Result<Self> {
        Self::shaped(entity, &Shape::default())
    }

    /// Returns the columns of an entity in another shape.
    ///
    /// # Errors
    /// Those of [`of`](Self::of), and [`Error::Config`](crate::Error) if the entity has no such list.
    pub fn shaped(entity: &EntitySpec, shape: &Shape) -> Result<Self> {
        let table = fields()?;
        let mut draft = Draft::default();
        draft.begin();
        let mut places = Places::default();
        if entity.identity == Identity::Wrapped {
            places.template_type = Some(draft.add(
                "template_type",
                ColumnType::Text,
                "Kind of the transaction that is repeated, such as Invoice",
            ));
        }
        draft.add_properties(table, entity, shape.flatten);
        draft.add_derived(table, entity, &mut places);
        places.extra = draft.add(
            "extra",
            ColumnType::Json,
            "Properties that have no column, and values that do not fit theirs",
        );
        let elements = match &shape.explode {
            Some(list) => Some(Elements::add(table, entity, list, &mut draft)?),
            None => None,
        };
        let names = table.of(entity.qbo_name).iter();
        for field in names.chain(table.of(ANY_RECORD)) {
            draft.record.set_known(&[field.path]);
        }
        Ok(Self {
            entity: *entity,
            schema: Arc::new(Schema::new(draft.fields)),
            types: draft.types,
            record: draft.record,
            places,
            elements,
        })
    }

    /// Returns the entity.
    pub fn entity(&self) -> &EntitySpec {
        &self.entity
    }

    /// Returns the schema.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Returns the columns' names, types and meanings.
    pub fn fields(&self) -> &Fields {
        self.schema.fields()
    }

    pub(super) fn types(&self) -> &[ColumnType] {
        &self.types
    }

    pub(super) fn record(&self) -> &Property {
        &self.record
    }

    pub(super) fn places(&self) -> &Places {
        &self.places
    }

    pub(super) fn elements(&self) -> Option<&Elements> {
        self.elements.as_ref()
    }
}
