//! A schema in the making: the columns of an entity, one after another.

use std::collections::HashMap;

use arrow_schema::{DataType, Field, TimeUnit};

use super::number::{DECIMALS, DIGITS};
use super::properties::Property;
use super::shape::whole_properties;
use crate::domain::{ColumnType, EntityKind, EntitySpec, FieldTable, FieldType, columns};

/// Properties that begin every schema.
const FIRST: [&str; 2] = ["Id", "SyncToken"];

/// Columns that no single property holds, and the columns that they are made of.
#[derive(Debug, Default)]
pub(super) struct Places {
    /// Kind of a template.
    pub template_type: Option<usize>,
    /// Holds `HomeTotalAmt` where the record has it.
    pub home_total: Option<usize>,
    /// Total and exchange rate, from which the amount in the company's currency is computed.
    pub home_from: Option<(usize, usize)>,
    pub is_voided: Option<usize>,
    /// Note and total, which tell voided transactions.
    pub voided_from: Option<(usize, usize)>,
    /// Lines, which tell it too.
    pub voided_lines: Option<usize>,
    pub extra: usize,
}

/// The type of Arrow.
fn data_type(column_type: ColumnType) -> DataType {
    match column_type {
        ColumnType::Text | ColumnType::Json => DataType::Utf8,
        ColumnType::Numeric => DataType::Decimal128(DIGITS, DECIMALS),
        ColumnType::Boolean => DataType::Boolean,
        ColumnType::Date => DataType::Date32,
        ColumnType::Timestamptz => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
    }
}

fn field(name: &str, column_type: ColumnType, meaning: &str) -> Field {
    let field = Field::new(name, data_type(column_type), true);
    let comment = HashMap::from([("comment".to_owned(), meaning.to_owned())]);
    match meaning {
        "" => field,
        _ => field.with_metadata(comment),
    }
}

/// A schema in the making.
#[derive(Default)]
pub(super) struct Draft {
    pub(super) fields: Vec<Field>,
    pub(super) types: Vec<ColumnType>,
    pub(super) record: Property,
}

impl Draft {
    /// Returns the number of the column with this name.
    pub(super) fn column(&self, name: &str) -> Option<usize> {
        self.fields.iter().position(|field| field.name() == name)
    }

    /// Puts another column in the place of one, which is still where the values of its property go.
    pub(super) fn replace(
        &mut self,
        column: usize,
        name: &str,
        column_type: ColumnType,
        meaning: &str,
    ) {
        self.fields[column] = field(name, column_type, meaning);
        self.types[column] = column_type;
    }

    pub(super) fn add(&mut self, name: &str, column_type: ColumnType, meaning: &str) -> usize {
        self.fields.push(field(name, column_type, meaning));
        self.types.push(column_type);
        self.types.len() - 1
    }

    fn add_property(
        &mut self,
        name: &str,
        column_type: ColumnType,
        path: &[&'static str],
        meaning: &str,
    ) -> usize {
        let path_text = path.join(".");
        let meaning = match meaning {
            "" => path_text,
            meaning => format!("{path_text}: {meaning}"),
        };
        let column = self.add(name, column_type, &meaning);
        self.record.set_column(path, column, column_type);
        column
    }

    pub(super) fn begin(&mut self) {
        self.add("realm_id", ColumnType::Text, "Id of the company");
        self.add(
            "id",
            ColumnType::Text,
            "Id of the record, unique within the company",
        );
        self.add_property(
            "sync_token",
            ColumnType::Text,
            &["SyncToken"],
            "version of the record; not every change raises it",
        );
        self.add_property(
            "created_at",
            ColumnType::Timestamptz,
            &["MetaData", "CreateTime"],
            "when it was made in QuickBooks",
        );
        self.add_property(
            "updated_at",
            ColumnType::Timestamptz,
            &["MetaData", "LastUpdatedTime"],
            "when it was last changed in QuickBooks",
        );
        self.add(
            "deleted_at",
            ColumnType::Timestamptz,
            "When QuickBooks deleted it; null for a record that is there",
        );
        self.record.set_known(&["Id"]);
    }

    pub(super) fn add_properties(
        &mut self,
        table: &FieldTable,
        entity: &EntitySpec,
        flatten: bool,
    ) {
        let all = match flatten {
            true => columns(table, entity.qbo_name, &FIRST),
            false => whole_properties(table, entity.qbo_name, &FIRST),
        };
        for column in all {
            // These have columns at the beginning, or among those that are made from others.
            let elsewhere: [&[&str]; 3] = [
                &["HomeTotalAmt"],
                &["MetaData", "CreateTime"],
                &["MetaData", "LastUpdatedTime"],
            ];
            if !elsewhere.contains(&column.path.as_slice()) {
                let (name, path) = (&column.name, &column.path);
                self.add_property(name, column.column_type, path, &column.meaning);
            }
        }
    }

    /// Adds the columns that the SQL views have too, by the same rules.
    pub(super) fn add_derived(
        &mut self,
        table: &FieldTable,
        entity: &EntitySpec,
        places: &mut Places,
    ) {
        let has = |path: &str, field_type| {
            let field = table.field(entity.qbo_name, path);
            field.is_some_and(|field| field.field_type == field_type)
        };
        let numeric = |made: &Self, path: &str, name: &str| {
            has(path, FieldType::Numeric).then(|| made.column(name))?
        };
        let total = numeric(self, "TotalAmt", "total_amt");
        let rate = numeric(self, "ExchangeRate", "exchange_rate");
        places.home_from = total.zip(rate);
        let has_home = has("HomeTotalAmt", FieldType::Numeric);
        if has_home {
            let meaning =
                "TotalAmt in the company's currency; without it TotalAmt times ExchangeRate";
            let path = ["HomeTotalAmt"];
            let home = self.add_property("home_total_amt", ColumnType::Numeric, &path, meaning);
            places.home_total = Some(home);
        } else if places.home_from.is_some() {
            let meaning = "TotalAmt in the company's currency: TotalAmt times ExchangeRate: 1 if there is none, \
                           null if it is no number";
            places.home_total = Some(self.add("home_total_amt", ColumnType::Numeric, meaning));
        }
        let is_transaction = entity.kind == EntityKind::Transaction;
        if let (Some(total), true, true) =
            (total, has("PrivateNote", FieldType::Text), is_transaction)
        {
            let note = self.column("private_note");
            places.voided_from = note.map(|note| (note, total));
            places.voided_lines = self.column("line");
            let meaning = "True if it was voided: PrivateNote begins with Voided and TotalAmt is 0, of a journal \
                           entry each line";
            places.is_voided = Some(self.add("is_voided", ColumnType::Boolean, meaning));
        }
    }
}
