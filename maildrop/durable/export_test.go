package durable

// Relink is Move on file systems that cannot rename without replacing.
var Relink = (*Dir).relink
