//! Commands that are advised. Those that read one company name it where several are known, so that they
//! work as they are told.

use std::collections::BTreeSet;

use super::CompanyReport;
use crate::config::Settings;
use crate::domain::Finding;
use crate::error::Result;
use crate::postgres::Db;
use crate::store::OverviewReader;

/// The begins of commands that read one company.
const OF_ONE_COMPANY: [&str; 4] = [
    "qbo-rs backfill ",
    "qbo-rs verify ",
    "qbo-rs reports ",
    "qbo-rs auth login",
];

/// The companies among which a command has to choose.
#[derive(Debug, Clone, Default)]
pub(crate) struct Companies(pub(super) BTreeSet<String>);

impl Companies {
    /// Returns the companies of the settings, of the connections, and of the tables.
    ///
    /// # Errors
    /// [`Error::Database`](crate::error::Error::Database).
    pub(crate) async fn known(
        settings: &Settings,
        accounts: &[CompanyReport],
        db: &Db,
    ) -> Result<Self> {
        let of_tables = match db.has_table("qbo", "schema_realms").await? {
            true => OverviewReader::new(db.clone()).schemas().await?,
            false => Vec::new(),
        };
        let of_tables = of_tables.into_iter().map(|bound| bound.realm_id);
        let connected = accounts.iter().map(|one| one.account.realm_id.clone());
        // A wrong setting is an error of the commands that need it.
        let of_settings = settings.realm_id().ok().flatten();
        Ok(Self(
            of_tables.chain(connected).chain(of_settings).collect(),
        ))
    }

    /// Returns whether there are several.
    pub(crate) fn are_several(&self) -> bool {
        self.0.len() > 1
    }

    /// Returns the flag that names a company; nothing if there is no other.
    pub(crate) fn flag(&self, realm_id: &str) -> String {
        match self.are_several() {
            true => format!(" --realm-id {realm_id}"),
            false => String::new(),
        }
    }

    /// Names a company in a finding's command, if that reads one.
    pub(crate) fn name_in(&self, finding: &mut Finding, realm_id: &str) {
        let Some(command) = &mut finding.command else {
            return;
        };
        if OF_ONE_COMPANY
            .iter()
            .any(|begin| command.starts_with(begin))
        {
            command.push_str(&self.flag(realm_id));
        }
    }
}
