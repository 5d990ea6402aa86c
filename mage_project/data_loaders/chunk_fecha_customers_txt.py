from qbo_rs.mage import chunk_fecha_txt

chunk_fecha_customers_txt = data_loader(chunk_fecha_txt("customers"))
