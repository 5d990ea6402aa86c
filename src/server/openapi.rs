//! The OpenAPI document. It is generated from the handlers and their types by a test, which keeps
//! the generator out of the program; `make openapi` writes it.

/// The document that `/openapi.json` serves.
pub(super) const DOCUMENT: &str = include_str!("openapi.json");

#[cfg(test)]
pub(super) use self::generate::{
    BadRequest, Denied, EntityName, Failure, NotFound, RealmId, TooLarge, Unavailable,
};

#[cfg(test)]
mod generate {
    use std::collections::BTreeMap;

    use utoipa::openapi::schema::{Ref, Schema, Type};
    use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
    use utoipa::openapi::{
        Components, Content, InfoBuilder, ObjectBuilder, OpenApi, RefOr, Required, Response,
        ResponseBuilder, SecurityRequirement,
    };
    use utoipa::{IntoResponses, OpenApi as _, PartialSchema, ToSchema};

    use crate::domain::ENTITIES;
    use crate::server::routes::{ENDPOINTS, Endpoints};

    /// The name of an entity.
    pub(in super::super) struct EntityName;

    impl ToSchema for EntityName {}

    impl PartialSchema for EntityName {
        fn schema() -> RefOr<Schema> {
            let names = ENTITIES.iter().map(|entity| entity.name);
            ObjectBuilder::new()
                .schema_type(Type::String)
                .enum_values(Some(names))
                .into()
        }
    }

    /// The id of a company.
    pub(in super::super) struct RealmId;

    impl ToSchema for RealmId {}

    impl PartialSchema for RealmId {
        fn schema() -> RefOr<Schema> {
            ObjectBuilder::new()
                .schema_type(Type::String)
                .pattern(Some("^[0-9]{1,30}$"))
                .into()
        }
    }

    /// Declares refusals that several paths share.
    macro_rules! refusals {
        ($($(#[doc = $doc:literal])* $name:ident { $($status:literal: $description:literal,)* })*) => {
            $(
                $(#[doc = $doc])*
                pub(in super::super) struct $name;

                impl IntoResponses for $name {
                    fn responses() -> BTreeMap<String, RefOr<Response>> {
                        [$((stringify!($status).to_owned(), refusal($description))),*].into()
                    }
                }
            )*
        };
    }

    refusals! {
        /// The refusal of a malformed request.
        BadRequest { 400: "The request is malformed or a parameter is out of range", }
        /// The refusal of an unknown id or name.
        NotFound { 404: "There is no such thing", }
        /// The refusals of a body above the limits of size and time.
        TooLarge {
            408: "The body arrives too slowly",
            413: "The body is too large",
        }
        /// The refusals of the guard.
        Denied {
            401: "The API key is missing or wrong",
            403: "The request comes from another site",
        }
        /// Limits and an unreachable database.
        Unavailable {
            503: "The database cannot be reached, or too many requests arrive at a time",
            504: "The request took too long",
        }
        /// The failures of every path that works with the database.
        Failure {
            500: "An internal error",
            503: "The database cannot be reached, or too many requests arrive at a time",
            504: "The request took too long",
        }
    }

    fn refusal(description: &str) -> RefOr<Response> {
        let error = Ref::from_schema_name("Error");
        ResponseBuilder::new()
            .description(description)
            .content("application/json", Content::new(Some(error)))
            .build()
            .into()
    }

    /// Generates the document.
    fn document() -> OpenApi {
        let mut document = Endpoints::openapi();
        document.info = InfoBuilder::new()
            .title("qbo_rs")
            .version(env!("CARGO_PKG_VERSION"))
            .description(Some(
                "Replicates QuickBooks Online companies into Postgres.",
            ))
            .build();
        let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
        document
            .components
            .get_or_insert_with(Components::new)
            .add_security_scheme("bearer", SecurityScheme::Http(bearer));
        document.security = Some(vec![SecurityRequirement::new::<_, [&str; 0], &str>(
            "bearer",
            [],
        )]);
        for item in document.paths.paths.values_mut() {
            for operation in [&mut item.get, &mut item.post].into_iter().flatten() {
                // By default they are the names of our modules.
                operation.tags = None;
                if operation.operation_id.as_deref() == Some("sync") {
                    // An empty body syncs everything; the attribute cannot say so.
                    if let Some(RefOr::T(body)) = &mut operation.request_body {
                        body.required = Some(Required::False);
                    }
                }
            }
        }
        document
    }

    #[test]
    fn the_document_is_up_to_date_with_the_handlers() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/server/openapi.json");
        let generated = document().to_pretty_json().unwrap() + "\n";
        if std::env::var_os("UPDATE_OPENAPI").is_some() {
            std::fs::write(path, &generated).unwrap();
        }
        let committed = std::fs::read_to_string(path).unwrap();
        assert!(committed == generated, "outdated: run `make openapi`");
    }

    #[test]
    fn every_route_is_documented_under_its_own_path_and_method() {
        let document = serde_json::to_value(document()).unwrap();
        let paths = document["paths"].as_object().unwrap();
        let mut documented: Vec<(&str, &str)> = paths
            .iter()
            .flat_map(|(path, item)| {
                let methods = item.as_object().unwrap().keys();
                methods.map(move |method| (method.as_str(), path.as_str()))
            })
            .collect();
        let mut routed = ENDPOINTS.to_vec();
        documented.sort_unstable();
        routed.sort_unstable();
        assert_eq!(documented, routed);
    }
}
