//! Events whose level is known only when they happen: `tracing` fixes the level of each call.

/// Reports an event at a [`tracing::Level`] given as a value: `event_at!(level, event = "x", "text")`.
macro_rules! event_at {
    ($level:expr, $($fields:tt)+) => {
        match $level {
            tracing::Level::ERROR => tracing::error!($($fields)+),
            tracing::Level::WARN => tracing::warn!($($fields)+),
            tracing::Level::INFO => tracing::info!($($fields)+),
            _ => tracing::debug!($($fields)+),
        }
    };
}

pub(crate) use event_at;
