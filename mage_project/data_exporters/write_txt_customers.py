from qbo_rs.mage import write_txt

write_txt_customers = data_exporter(write_txt("customers"))
