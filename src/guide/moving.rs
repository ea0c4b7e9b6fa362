//! Moving keys from elsewhere.
