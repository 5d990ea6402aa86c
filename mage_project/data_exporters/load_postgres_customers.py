from qbo_rs.mage import load_postgres

load_postgres_customers = data_exporter(load_postgres("customers"))
