package durable

// Link is Move on file systems that cannot rename without replacing.
var Link = (*Dir).link
