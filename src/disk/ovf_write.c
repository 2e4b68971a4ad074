/* An OVF that other products read: one machine, its disks behind one SCSI controller. */
#include "disk/ovf.h"

#define FORMAT "http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized"

static void put(GString *out, const char *format, ...) G_GNUC_PRINTF(2, 3);

/* Texts are escaped. */
static void put(GString *out, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    g_autofree char *text = g_markup_vprintf_escaped(format, args);
    va_end(args);
    g_string_append(out, text);
}

static void put_files(GString *out, const Ovf *ovf, const guint64 *file_bytes)
{
    g_string_append(out, "  <References>\n");
    for (guint i = 0; i < ovf->disks->len; i++)
        put(out,
            "    <File ovf:href=\"%s\" ovf:id=\"file%u\" ovf:size=\"%" G_GUINT64_FORMAT "\"/>\n",
            ovf_disk(ovf, i)->path, i + 1, file_bytes[i]);
    g_string_append(out, "  </References>\n  <DiskSection>\n    <Info>Virtual disks</Info>\n");
    for (guint i = 0; i < ovf->disks->len; i++)
        put(out,
            "    <Disk ovf:capacity=\"%" G_GUINT64_FORMAT
            "\" ovf:capacityAllocationUnits=\"byte\" ovf:diskId=\"vmdisk%u\" "
            "ovf:fileRef=\"file%u\" ovf:format=\"" FORMAT "\"/>\n",
            ovf_disk(ovf, i)->capacity_bytes, i + 1, i + 1);
    g_string_append(out, "  </DiskSection>\n");
}

static void put_networks(GString *out, const Ovf *ovf)
{
    g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);
    g_string_append(out, "  <NetworkSection>\n    <Info>Networks</Info>\n");
    for (guint i = 0; i < ovf->nics->len; i++)
        if (g_hash_table_add(seen, ovf_nic(ovf, i)->network))
            put(out, "    <Network ovf:name=\"%s\"><Description/></Network>\n",
                ovf_nic(ovf, i)->network);
    g_string_append(out, "  </NetworkSection>\n");
}

/* One <Item>: `more` are its other elements, in the order of their names. */
static void put_item(GString *out, guint id, guint type, const char *name, const char *before,
                     const char *after)
{
    put(out, "      <Item>\n");
    g_string_append(out, before);
    put(out, "        <rasd:ElementName>%s</rasd:ElementName>\n", name);
    if (type == 17)
        g_string_append(out, after);
    put(out, "        <rasd:InstanceID>%u</rasd:InstanceID>\n", id);
    if (type == 17)
        put(out, "        <rasd:Parent>3</rasd:Parent>\n");
    put(out, "        <rasd:ResourceType>%u</rasd:ResourceType>\n", type);
    if (type != 17)
        g_string_append(out, after);
    g_string_append(out, "      </Item>\n");
}

static void put_disks(GString *out, const Ovf *ovf, guint id)
{
    for (guint i = 0; i < ovf->disks->len; i++) {
        const OvfDisk *disk = ovf_disk(ovf, i);
        g_autofree char *before =
            g_strdup_printf("        <rasd:AddressOnParent>%u</rasd:AddressOnParent>\n", i);
        g_autofree char *after = g_strdup_printf(
            "        <rasd:HostResource>ovf:/disk/vmdisk%u</rasd:HostResource>\n", i + 1);
        put_item(out, id + i, 17, disk->name, before, after);
    }
}

static void put_nics(GString *out, const Ovf *ovf, guint id)
{
    for (guint i = 0; i < ovf->nics->len; i++) {
        const OvfNic *nic = ovf_nic(ovf, i);
        g_autoptr(GString) before = g_string_new(NULL);
        if (*nic->mac)
            put(before, "        <rasd:Address>%s</rasd:Address>\n", nic->mac);
        put(before,
            "        <rasd:AutomaticAllocation>true</rasd:AutomaticAllocation>\n"
            "        <rasd:Connection>%s</rasd:Connection>\n",
            nic->network);
        g_autofree char *name = g_strdup_printf("ethernet%u", i);
        put_item(out, id + i, 10, name, before->str, "");
    }
}

static void put_hardware(GString *out, const Ovf *ovf)
{
    g_autofree char *cpus =
        g_strdup_printf("        <rasd:VirtualQuantity>%u</rasd:VirtualQuantity>\n", ovf->n_cpus);
    g_autofree char *memory = g_strdup_printf("        <rasd:VirtualQuantity>%" G_GUINT64_FORMAT
                                              "</rasd:VirtualQuantity>\n",
                                              ovf->memory_bytes >> 20);
    g_string_append(out, "    <VirtualHardwareSection>\n      <Info>Hardware</Info>\n");
    put_item(out, 1, 3, "processors",
             "        <rasd:AllocationUnits>hertz * 10^6</rasd:AllocationUnits>\n", cpus);
    put_item(out, 2, 4, "memory",
             "        <rasd:AllocationUnits>byte * 2^20</rasd:AllocationUnits>\n", memory);
    put_item(out, 3, 6, "SCSI controller 0", "        <rasd:Address>0</rasd:Address>\n",
             "        <rasd:ResourceSubType>lsilogic</rasd:ResourceSubType>\n");
    put_disks(out, ovf, 4);
    put_nics(out, ovf, 4 + ovf->disks->len);
    if (ovf->efi)
        g_string_append(out, "      <vmw:Config ovf:required=\"false\" vmw:key=\"firmware\" "
                             "vmw:value=\"efi\"/>\n");
    g_string_append(out, "    </VirtualHardwareSection>\n");
}

char *ovf_write(const Ovf *ovf, const guint64 *file_bytes)
{
    GString *out = g_string_new("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
                                "<Envelope xmlns=\"http://schemas.dmtf.org/ovf/envelope/1\" "
                                "xmlns:ovf=\"http://schemas.dmtf.org/ovf/envelope/1\" "
                                "xmlns:rasd=\"http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/"
                                "CIM_ResourceAllocationSettingData\" "
                                "xmlns:vmw=\"http://www.vmware.com/schema/ovf\">\n");
    put_files(out, ovf, file_bytes);
    put_networks(out, ovf);
    put(out,
        "  <VirtualSystem ovf:id=\"vm\">\n    <Info>A virtual machine</Info>\n"
        "    <Name>%s</Name>\n    <AnnotationSection>\n      <Info>What it is for</Info>\n"
        "      <Annotation>%s</Annotation>\n    </AnnotationSection>\n",
        ovf->name, ovf->description);
    put_hardware(out, ovf);
    g_string_append(out, "  </VirtualSystem>\n</Envelope>\n");
    return g_string_free(out, FALSE);
}
