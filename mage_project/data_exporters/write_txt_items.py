from qbo_rs.mage import write_txt

write_txt_items = data_exporter(write_txt("items"))
