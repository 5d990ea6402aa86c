from qbo_rs.mage import chunk_fecha_txt

chunk_fecha_items_txt = data_loader(chunk_fecha_txt("items"))
