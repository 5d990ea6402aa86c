//! The QBO entities (qbo-facts 8). A new entity is one row of [`ENTITIES`].

/// Kind of a record type, which determines how QBO deletes and hides records (qbo-facts 3.1 and 3.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntityKind {
    /// Records are never removed, only made inactive. Queries hide inactive records unless `Active` is
    /// requested.
    List,
    /// Deleted records are removed for good. Has no `Active`.
    Transaction,
    /// Anything else: singletons, rates, attachments. Has no `Active`.
    Supporting,
}

/// Location of a record's identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Identity {
    /// The property `Id`.
    Id,
    /// There is one record per company. Not every answer gives it an `Id`; without one it is "1".
    Single,
    /// These properties together, joined by colons. The record has no `Id`.
    Properties(&'static [&'static str]),
    /// The `Id` of the single object with an `Id` inside the row. The object's key is the type of
    /// the template.
    Wrapped,
}

/// Reliability of `ORDERBY` for an entity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ordering {
    /// `ORDERBY MetaData.LastUpdatedTime` is obeyed.
    Reliable,
    /// `ORDERBY` is ignored.
    Unreliable,
}

/// Names that never change.
type Names = &'static [&'static str];

/// One record type: its names and how QBO treats it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EntitySpec {
    /// Name in qbo_rs, plural and lower case; also the end of the table's name.
    pub name: &'static str,
    /// Name in queries.
    pub qbo_name: &'static str,
    /// Names that Spanish speakers may type, plural and without accents.
    pub spanish: &'static [&'static str],
    /// Key of its rows in an answer.
    pub answer_key: &'static str,
    /// List, transaction or other.
    pub kind: EntityKind,
    /// Location of a record's identity.
    pub identity: Identity,
    /// Reliability of `ORDERBY`.
    pub ordering: Ordering,
    /// True if queries can ask for it. Otherwise its records are only known from change data capture,
    /// and can be read by id (qbo-facts 13.6).
    pub has_query: bool,
    /// True if change data capture covers it (qbo-facts 4).
    pub has_cdc: bool,
    /// True if one answer holds all of its records, and none of them says when it was changed
    /// (qbo-facts 13.6).
    pub is_read_whole: bool,
    /// Parts of its records that QBO answers only if the parameter `include` names them.
    pub includes: &'static [&'static str],
}

/// All custom fields, instead of the first three (qbo-facts 13.4).
pub const ALL_CUSTOM_FIELDS: &str = "enhancedAllCustomFields";
/// The address at which a customer pays an invoice (qbo-facts 13.5).
pub const INVOICE_LINK: &str = "invoiceLink";

const fn entity(
    name: &'static str,
    qbo_name: &'static str,
    spanish: Names,
    kind: EntityKind,
) -> EntitySpec {
    let (identity, ordering) = (Identity::Id, Ordering::Reliable);
    EntitySpec {
        name,
        qbo_name,
        spanish,
        answer_key: qbo_name,
        kind,
        identity,
        ordering,
        has_query: true,
        has_cdc: true,
        is_read_whole: false,
        includes: &[],
    }
}

const fn list(name: &'static str, qbo_name: &'static str, spanish: Names) -> EntitySpec {
    entity(name, qbo_name, spanish, EntityKind::List)
}

const fn transaction(name: &'static str, qbo_name: &'static str, spanish: Names) -> EntitySpec {
    entity(name, qbo_name, spanish, EntityKind::Transaction)
}

const fn supporting(name: &'static str, qbo_name: &'static str, spanish: Names) -> EntitySpec {
    entity(name, qbo_name, spanish, EntityKind::Supporting)
}

const fn single(name: &'static str, qbo_name: &'static str, spanish: Names) -> EntitySpec {
    EntitySpec {
        identity: Identity::Single,
        ..supporting(name, qbo_name, spanish)
    }
}

const fn with_custom_fields(mut spec: EntitySpec) -> EntitySpec {
    spec.includes = &[ALL_CUSTOM_FIELDS];
    spec
}

const fn without_cdc(mut spec: EntitySpec) -> EntitySpec {
    spec.has_cdc = false;
    spec
}

const fn without_query(mut spec: EntitySpec) -> EntitySpec {
    spec.has_query = false;
    spec
}

const fn read_whole(mut spec: EntitySpec) -> EntitySpec {
    (spec.has_query, spec.has_cdc) = (false, false);
    spec.is_read_whole = true;
    spec
}

/// Entities that a company has in every plan and country.
const IN_EVERY_PLAN: [&str; 7] = [
    "accounts",
    "company_info",
    "customers",
    "invoices",
    "items",
    "preferences",
    "vendors",
];

impl EntitySpec {
    /// Returns true if no plan and no country lacks the entity. QuickBooks refuses it only to a user
    /// who may not read it.
    pub fn is_in_every_plan(&self) -> bool {
        IN_EVERY_PLAN.contains(&self.name)
    }
}

/// All entities that can be copied.
pub const ENTITIES: &[EntitySpec] = &[
    list("accounts", "Account", &["cuentas"]),
    supporting("attachables", "Attachable", &["adjuntos"]),
    transaction("bill_payments", "BillPayment", &["pagos_a_proveedores"]),
    transaction(
        "bills",
        "Bill",
        &[
            "facturas_de_proveedores",
            "facturas_de_compra",
            "cuentas_por_pagar",
        ],
    ),
    list("budgets", "Budget", &["presupuestos"]),
    without_query(transaction(
        "change_orders",
        "ChangeOrder",
        &["ordenes_de_cambio"],
    )),
    list("classes", "Class", &["clases"]),
    list(
        "company_currencies",
        "CompanyCurrency",
        &["monedas", "divisas"],
    ),
    single(
        "company_info",
        "CompanyInfo",
        &["empresa", "datos_de_la_empresa"],
    ),
    // The key in answers differs from the name in queries.
    EntitySpec {
        answer_key: "CreditCardPaymentTxn",
        ..transaction(
            "credit_card_payments",
            "CreditCardPayment",
            &["pagos_de_tarjetas", "pagos_de_tarjetas_de_credito"],
        )
    },
    with_custom_fields(transaction(
        "credit_memos",
        "CreditMemo",
        &["notas_de_credito"],
    )),
    list("customer_types", "CustomerType", &["tipos_de_clientes"]),
    list("customers", "Customer", &["clientes"]),
    list(
        "departments",
        "Department",
        &["departamentos", "ubicaciones"],
    ),
    transaction("deposits", "Deposit", &["depositos"]),
    list("employees", "Employee", &["empleados"]),
    read_whole(single("entitlements", "Entitlements", &["derechos"])),
    with_custom_fields(transaction(
        "estimates",
        "Estimate",
        &["cotizaciones", "estimaciones", "proformas"],
    )),
    EntitySpec {
        identity: Identity::Properties(&["AsOfDate", "SourceCurrencyCode", "TargetCurrencyCode"]),
        ..supporting("exchange_rates", "ExchangeRate", &["tipos_de_cambio"])
    },
    without_query(transaction(
        "inventory_adjustments",
        "InventoryAdjustment",
        &["ajustes_de_inventario"],
    )),
    EntitySpec {
        includes: &[ALL_CUSTOM_FIELDS, INVOICE_LINK],
        ..transaction("invoices", "Invoice", &["facturas", "facturas_de_venta"])
    },
    list(
        "items",
        "Item",
        &["articulos", "productos", "productos_y_servicios"],
    ),
    without_cdc(list("journal_codes", "JournalCode", &["codigos_de_diario"])),
    transaction(
        "journal_entries",
        "JournalEntry",
        &["asientos", "asientos_contables", "asientos_de_diario"],
    ),
    list(
        "payment_methods",
        "PaymentMethod",
        &["metodos_de_pago", "formas_de_pago"],
    ),
    transaction("payments", "Payment", &["pagos", "cobros"]),
    single("preferences", "Preferences", &["preferencias"]),
    with_custom_fields(transaction(
        "purchase_orders",
        "PurchaseOrder",
        &["ordenes_de_compra"],
    )),
    transaction("purchases", "Purchase", &["compras", "gastos"]),
    EntitySpec {
        identity: Identity::Wrapped,
        ..transaction(
            "recurring_transactions",
            "RecurringTransaction",
            &["transacciones_recurrentes"],
        )
    },
    with_custom_fields(transaction(
        "refund_receipts",
        "RefundReceipt",
        &["reembolsos", "recibos_de_reembolso"],
    )),
    transaction(
        "reimburse_charges",
        "ReimburseCharge",
        &["cargos_reembolsables", "gastos_reembolsables"],
    ),
    with_custom_fields(transaction(
        "sales_receipts",
        "SalesReceipt",
        &["recibos_de_venta"],
    )),
    EntitySpec {
        ordering: Ordering::Unreliable,
        ..without_cdc(supporting(
            "tax_agencies",
            "TaxAgency",
            &["agencias_tributarias", "agencias_de_impuestos"],
        ))
    },
    read_whole(supporting(
        "tax_classifications",
        "TaxClassification",
        &["clasificaciones_de_impuestos"],
    )),
    without_cdc(list("tax_codes", "TaxCode", &["codigos_de_impuestos"])),
    transaction("tax_payments", "TaxPayment", &["pagos_de_impuestos"]),
    without_cdc(list("tax_rates", "TaxRate", &["tasas_de_impuestos"])),
    list("terms", "Term", &["terminos", "condiciones_de_pago"]),
    without_cdc(transaction(
        "time_activities",
        "TimeActivity",
        &["actividades_de_tiempo", "horas"],
    )),
    transaction("transfers", "Transfer", &["transferencias"]),
    transaction(
        "vendor_credits",
        "VendorCredit",
        &["creditos_de_proveedores"],
    ),
    list("vendors", "Vendor", &["proveedores"]),
];

impl EntitySpec {
    /// Returns true if queries hide inactive records unless `Active` is requested. For other entities
    /// a query with `Active` is an error (qbo-facts 3.1).
    pub fn has_active(&self) -> bool {
        self.kind == EntityKind::List
    }

    /// Returns the name of its table without the schema, such as `qb_customers`.
    pub fn table(&self) -> String {
        format!("qb_{}", self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn names_are_unique_plain_identifiers() {
        let names: HashSet<_> = ENTITIES.iter().map(|e| e.name).collect();
        let qbo_names: HashSet<_> = ENTITIES.iter().map(|e| e.qbo_name).collect();
        assert_eq!(
            (names.len(), qbo_names.len()),
            (ENTITIES.len(), ENTITIES.len())
        );
        // Table names are built from them, unquoted.
        assert!(
            names
                .iter()
                .all(|n| n.chars().all(|c| c.is_ascii_lowercase() || c == '_'))
        );
    }

    #[test]
    fn entities_are_asked_for_as_intuits_table_says() {
        let table = include_str!("../../facts/entities.tsv");
        let rows: Vec<Vec<&str>> = table
            .lines()
            .filter(|line| !line.starts_with('#'))
            .map(|line| line.split('\t').collect())
            .collect();
        for entity in ENTITIES {
            let row = rows
                .iter()
                .find(|row| row[0] == entity.qbo_name)
                .unwrap_or_else(|| panic!("facts/entities.tsv lacks {}", entity.qbo_name));
            let says = |column: usize| row[column] == "yes";
            let ours = (entity.has_query, entity.has_active(), entity.has_cdc);
            assert_eq!(ours, (says(1), says(3), says(4)), "{}", entity.name);
            assert!(entity.has_query || says(2), "{} can be read", entity.name);
        }
        for row in &rows[1..] {
            let is_ours = |entity: &&EntitySpec| entity.qbo_name == row[0];
            assert!(
                ENTITIES.iter().any(|entity| is_ours(&entity)),
                "{} is not copied",
                row[0]
            );
        }
    }

    #[test]
    fn entities_without_cdc_are_marked() {
        let without: Vec<_> = ENTITIES
            .iter()
            .filter(|entity| !entity.has_cdc && entity.has_query)
            .map(|entity| entity.qbo_name)
            .collect();
        assert_eq!(
            without,
            [
                "JournalCode",
                "TaxAgency",
                "TaxCode",
                "TaxRate",
                "TimeActivity"
            ]
        );
    }
}
