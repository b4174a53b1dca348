//! The log on MySQL and MariaDB.

use invalidation_core::{Error, NodeBuilder};
use invalidation_log_mysql::{MySqlLog, protection};

use super::{text, warn_of_weak_tls, within_bounds};
use crate::config::{Config, MySqlConfig};

impl Config {
    pub(super) async fn with_mysql(
        &self,
        builder: NodeBuilder,
        mysql: &MySqlConfig,
    ) -> Result<NodeBuilder, Error> {
        warn_of_weak_tls("log", mysql.insecure_tls, protection::VERIFIED);
        let mut log = MySqlLog::builder(text(&mysql.url)?)
            .read_timeout(within_bounds(self.settings.read_timeout))
            // Less than the node waits, so that a lock is told as such, and not as silence.
            .write_timeout(within_bounds(self.settings.append_timeout / 5 * 4));
        if let Some(database) = &mysql.database {
            log = log.database(database);
        }
        if let Some(password) = &mysql.password {
            log = log.password(text(password)?);
        }
        Ok(builder.log(if self.settings.start_in_bypass {
            log.connect_later()?
        } else {
            log.connect().await?
        }))
    }
}
