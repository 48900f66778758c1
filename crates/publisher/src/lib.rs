//! Catalogs signed, host keys issued, hosts activated
